//! Texts that stand for a value of another type, as PostgreSQL takes them.

use arrow::datatypes::DataType;
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::error::Result;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{Expr, ExprSchemable, lit};
use datafusion::sql::sqlparser::ast::BinaryOperator;

/// `flag = 'f'`: a text that is compared with a boolean is one.
#[derive(Debug)]
pub(super) struct BooleanTexts;

impl ExprPlanner for BooleanTexts {
    fn plan_binary_op(
        &self,
        mut expr: RawBinaryExpr,
        schema: &DFSchema,
    ) -> Result<PlannerResult<RawBinaryExpr>> {
        if matches!(expr.op, BinaryOperator::Eq | BinaryOperator::NotEq) {
            let is_flag = |side: &Expr| matches!(side.get_type(schema), Ok(DataType::Boolean));
            if let Some(value) = boolean(&expr.right).filter(|_| is_flag(&expr.left)) {
                expr.right = lit(value);
            } else if let Some(value) = boolean(&expr.left).filter(|_| is_flag(&expr.right)) {
                expr.left = lit(value);
            }
        }
        Ok(PlannerResult::Original(expr))
    }
}

/// What a literal of text says as a boolean.
fn boolean(expr: &Expr) -> Option<bool> {
    let Expr::Literal(ScalarValue::Utf8(Some(text)), _) = expr else {
        return None;
    };
    match text.trim().to_ascii_lowercase().as_str() {
        "t" | "true" | "y" | "yes" | "on" | "1" => Some(true),
        "f" | "false" | "n" | "no" | "off" | "0" => Some(false),
        _ => None,
    }
}
