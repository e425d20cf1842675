//! Expressions of PostgreSQL that the planner does not know, as others that mean the same.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments, Ident,
    ObjectName, SelectItem, SetExpr, Statement, Value, visit_expressions_mut,
};

/// What the planner takes a backslash for in a pattern.
const ESCAPE: char = '\\';

pub(super) fn rewritten(statement: &mut Statement) {
    // Nothing breaks off.
    let _: ControlFlow<()> = visit_expressions_mut(statement, |expression| {
        match expression {
            Expr::Like {
                pattern,
                escape_char,
                ..
            }
            | Expr::ILike {
                pattern,
                escape_char,
                ..
            } => {
                if let Some(escape) = escape_char
                    .as_ref()
                    .and_then(|value| one_char(&value.value))
                    && let Expr::Value(value) = pattern.as_mut()
                    && let Value::SingleQuotedString(text) = &mut value.value
                {
                    *text = with_backslashes(text, escape);
                    *escape_char = None;
                }
            }
            Expr::Function(function) => {
                if let Some(aggregated) = array_of_query(function) {
                    *expression = aggregated;
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    });
}

fn one_char(value: &Value) -> Option<char> {
    let Value::SingleQuotedString(text) = value else {
        return None;
    };
    let mut chars = text.chars();
    chars.next().filter(|_| chars.next().is_none())
}

/// A pattern with an escape of its own, as one with the usual escape.
fn with_backslashes(pattern: &str, escape: char) -> String {
    let mut text = String::with_capacity(pattern.len());
    let mut chars = pattern.chars();
    while let Some(char) = chars.next() {
        if char == escape {
            text.push(ESCAPE);
            text.extend(chars.next());
        } else {
            if char == ESCAPE {
                text.push(ESCAPE);
            }
            text.push(char);
        }
    }
    text
}

/// `ARRAY(SELECT x …)` as `(SELECT array_agg(x) …)`. The order of the values is left to the engine.
fn array_of_query(function: &Function) -> Option<Expr> {
    if !function.name.to_string().eq_ignore_ascii_case("array") {
        return None;
    }
    let FunctionArguments::Subquery(query) = &function.args else {
        return None;
    };
    let mut query = query.clone();
    query.order_by = None;
    let SetExpr::Select(select) = query.body.as_mut() else {
        return None;
    };
    let [SelectItem::UnnamedExpr(item) | SelectItem::ExprWithAlias { expr: item, .. }] =
        select.projection.as_mut_slice()
    else {
        return None;
    };
    let argument = FunctionArg::Unnamed(FunctionArgExpr::Expr(item.clone()));
    *item = Expr::Function(Function {
        name: ObjectName::from(Ident::new("array_agg")),
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args: vec![argument],
            clauses: Vec::new(),
        }),
        ..function.clone()
    });
    Some(Expr::Subquery(query))
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
    use datafusion::sql::sqlparser::parser::Parser;

    use super::*;

    #[test]
    fn expressions_mean_the_same() {
        for (sql, wanted) in [
            (
                r"SELECT a LIKE 'pg/_%' ESCAPE '/'",
                r"SELECT a LIKE 'pg\_%'",
            ),
            (
                r"SELECT a LIKE 'a\b/%' ESCAPE '/'",
                r"SELECT a LIKE 'a\\b\%'",
            ),
            ("SELECT a ILIKE 'x!!' ESCAPE '!'", r"SELECT a ILIKE 'x\!'"),
            (
                "SELECT ARRAY(SELECT b AS c FROM t WHERE t.x = u.x ORDER BY 1) FROM u",
                "SELECT (SELECT array_agg(b) AS c FROM t WHERE t.x = u.x) FROM u",
            ),
            ("SELECT ARRAY[1, 2]", "SELECT ARRAY[1, 2]"),
        ] {
            let mut parsed = Parser::parse_sql(&PostgreSqlDialect {}, sql).unwrap();
            rewritten(&mut parsed[0]);
            assert_eq!(parsed[0].to_string(), wanted);
        }
    }
}
