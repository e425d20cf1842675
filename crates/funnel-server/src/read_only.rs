//! What is refused because it would write.

use datafusion::execution::context::SQLOptions;
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::sqlparser::ast::Statement;

use crate::failure::Failure;

/// The plan, unless it writes: the parser may let through what the planner knows better.
pub(crate) fn checked(plan: LogicalPlan) -> Result<LogicalPlan, Failure> {
    SQLOptions::new()
        .with_allow_ddl(false)
        .with_allow_dml(false)
        .with_allow_statements(false)
        .verify_plan(&plan)
        .map_err(|_| Failure::read_only("a statement that writes"))?;
    Ok(plan)
}

/// What would write, by its name.
pub(crate) fn refused(statement: &Statement) -> Option<&'static str> {
    Some(match statement {
        Statement::Insert(_) => "INSERT",
        Statement::Update(_) => "UPDATE",
        Statement::Delete(_) => "DELETE",
        Statement::Merge(_) => "MERGE",
        Statement::Truncate(_) => "TRUNCATE",
        Statement::CreateTable(_) => "CREATE TABLE",
        Statement::CreateView(_) => "CREATE VIEW",
        Statement::CreateSchema { .. } => "CREATE SCHEMA",
        Statement::CreateDatabase { .. } => "CREATE DATABASE",
        Statement::CreateFunction(_) => "CREATE FUNCTION",
        Statement::CreateIndex(_) => "CREATE INDEX",
        Statement::CreateRole(_) => "CREATE ROLE",
        Statement::CreateExtension(_) => "CREATE EXTENSION",
        Statement::CreateSequence { .. } => "CREATE SEQUENCE",
        Statement::Drop { .. } => "DROP",
        Statement::DropFunction(_) => "DROP FUNCTION",
        Statement::AlterTable(_) => "ALTER TABLE",
        Statement::Grant(_) => "GRANT",
        Statement::Revoke(_) => "REVOKE",
        Statement::Comment { .. } => "COMMENT",
        Statement::Analyze(_) => "ANALYZE",
        Statement::Vacuum(_) => "VACUUM",
        Statement::LockTables { .. } => "LOCK",
        _ => return None,
    })
}
