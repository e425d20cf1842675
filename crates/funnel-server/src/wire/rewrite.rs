//! Expressions of PostgreSQL that the planner does not know, as others that mean the same.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    ArrayElemTypeDef, CastKind, DataType, Expr, Function, FunctionArg, FunctionArgExpr,
    FunctionArgumentList, FunctionArguments, Ident, ObjectName, Query, SelectItem, SetExpr,
    Statement, TableFactor, Value, ValueWithSpan, visit_expressions_mut,
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
                let escape = escape_char.as_ref();
                if let Some(escape) = escape.and_then(|value| one_char(&value.value)) {
                    escaped(pattern, escape);
                    *escape_char = None;
                }
            }
            Expr::Subquery(query) => {
                if is_over_nothing(query) {
                    *expression = Expr::value(Value::Null);
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

/// Makes the pattern one with the usual escape.
fn escaped(pattern: &mut Expr, escape: char) {
    match pattern {
        Expr::Value(ValueWithSpan {
            value: Value::SingleQuotedString(text),
            ..
        }) => *text = with_backslashes(text, escape),
        // The parts of a pattern that is put together, each by itself.
        Expr::BinaryOp { left, right, .. } => {
            escaped(left, escape);
            escaped(right, escape);
        }
        Expr::Nested(inner) => escaped(inner, escape),
        other => {
            let value = |text: String| Expr::value(Value::SingleQuotedString(text));
            let pattern = std::mem::replace(other, Expr::value(Value::Null));
            let values = [
                pattern,
                value(escape.to_string()),
                value(ESCAPE.to_string()),
            ];
            *other = call("replace", values.into());
        }
    }
}

fn call(name: &str, arguments: Vec<Expr>) -> Expr {
    let arguments = arguments.into_iter();
    let arguments = arguments.map(|argument| FunctionArg::Unnamed(FunctionArgExpr::Expr(argument)));
    Expr::Function(Function {
        name: ObjectName::from(Ident::new(name)),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args: arguments.collect(),
            clauses: Vec::new(),
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}

/// Is it about defaults, sequences or collations of columns? Columns of the lake have none, and the planner does not take
/// such a query inside of another.
fn is_over_nothing(query: &Query) -> bool {
    let SetExpr::Select(select) = query.body.as_ref() else {
        return false;
    };
    let Some(from) = select.from.first() else {
        return false;
    };
    let TableFactor::Table {
        name, args: None, ..
    } = &from.relation
    else {
        return false;
    };
    let name = name.to_string().to_ascii_lowercase();
    let name = name.strip_prefix("pg_catalog.").unwrap_or(&name);
    ["pg_attrdef", "pg_sequence", "pg_collation"].contains(&name)
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
    // psql asks for the options of tables, of which there are none.
    if query.to_string().contains("unnest(tc.reloptions)") {
        return Some(Expr::Cast {
            kind: CastKind::Cast,
            expr: Box::new(Expr::value(Value::Null)),
            data_type: DataType::Array(ArrayElemTypeDef::SquareBracket(
                Box::new(DataType::Text),
                None,
            )),
            array: false,
            format: None,
        });
    }
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
    *item = call("array_agg", vec![item.clone()]);
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
            (
                "SELECT a NOT LIKE 'p/_' || '%' ESCAPE '/', a LIKE b ESCAPE '!'",
                r"SELECT a NOT LIKE 'p\_' || '%', a LIKE replace(b, '!', '\')",
            ),
            (
                "SELECT (SELECT adbin FROM pg_catalog.pg_attrdef WHERE adnum = a.attnum) FROM a",
                "SELECT NULL FROM a",
            ),
            (
                "SELECT ARRAY(SELECT 'toast.' || x FROM unnest(tc.reloptions) x)",
                "SELECT CAST(NULL AS TEXT[])",
            ),
            ("SELECT ARRAY[1, 2]", "SELECT ARRAY[1, 2]"),
        ] {
            let mut parsed = Parser::parse_sql(&PostgreSqlDialect {}, sql).unwrap();
            rewritten(&mut parsed[0]);
            assert_eq!(parsed[0].to_string(), wanted);
        }
    }
}
