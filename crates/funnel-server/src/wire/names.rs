//! The names that PostgreSQL gives to columns without one. There two may be the same: the planner wants all of them apart,
//! so that those that would not be have a mark, which no client sees.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    ArrayElemTypeDef, DataType, Expr, FunctionArguments, Ident, ObjectName, Query, Select,
    SelectItem, SetExpr, Statement, TimezoneInfo, TrimWhereField, Value, VisitMut, VisitorMut,
};

/// What follows is no part of a name. No client writes it.
const MARK: char = '\u{1f}';
/// What the library puts before a column beside a wildcard.
const OF_THE_LIBRARY: &str = "__alias_";
const NO_NAME: &str = "?column?";

/// Names the columns of every `SELECT` in it.
pub(super) fn named(statement: &mut Statement) {
    // Nothing breaks off.
    let _: ControlFlow<()> = statement.visit(&mut Selects { depth: 0 });
}

/// The name as a client is told.
pub(super) fn shown(name: &str) -> &str {
    let name = name.split(MARK).next().unwrap_or(name);
    name.strip_prefix(OF_THE_LIBRARY).unwrap_or(name)
}

struct Selects {
    depth: usize,
}

impl VisitorMut for Selects {
    type Break = ();

    fn pre_visit_query(&mut self, _query: &mut Query) -> ControlFlow<()> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &mut Query) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        name_columns(&mut select.projection, self.depth > 1);
        ControlFlow::Continue(())
    }
}

/// Names of columns that were read, in one `SELECT`.
struct Taken {
    names: BTreeSet<String>,
    count: usize,
}

impl Taken {
    /// The name, marked where it is taken or must not be referred to.
    fn unique(&mut self, name: &str, is_hidden: bool) -> Ident {
        self.count += 1;
        if !is_hidden && self.names.insert(name.to_owned()) {
            return Ident::with_quote('"', name);
        }
        Ident::with_quote('"', format!("{name}{MARK}{}", self.count))
    }
}

fn name_columns(items: &mut [SelectItem], is_inside: bool) {
    let mut has_wildcard = false;
    let mut taken = Taken {
        names: BTreeSet::new(),
        count: 0,
    };
    let mut columns = BTreeSet::new();
    for item in items.iter() {
        match item {
            SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..) => has_wildcard = true,
            SelectItem::UnnamedExpr(Expr::Identifier(name)) => {
                columns.insert(folded(name));
            }
            SelectItem::UnnamedExpr(Expr::CompoundIdentifier(parts)) => {
                columns.extend(parts.last().map(folded));
            }
            _ => {}
        }
    }
    let mut texts = BTreeSet::new();
    for item in items {
        let (name, is_hidden) = match item {
            // One that is there under its own name may be there once.
            SelectItem::UnnamedExpr(
                expression @ (Expr::Identifier(_) | Expr::CompoundIdentifier(_)),
            ) => {
                if texts.insert(expression.to_string()) {
                    continue;
                }
                (figured(expression), true)
            }
            SelectItem::ExprWithAlias { alias, .. } => {
                let name = folded(alias);
                if !columns.contains(&name) && taken.names.insert(name.clone()) {
                    continue;
                }
                (Some(name), true)
            }
            SelectItem::UnnamedExpr(expression) => {
                let name = figured(expression);
                // A cast has the name of its column. What the statement sorts by is that column then, and no such cast.
                let is_column = !is_inside && is_of_column(expression);
                let is_taken = name.as_ref().is_some_and(|name| columns.contains(name));
                (name, has_wildcard || is_column || is_taken)
            }
            _ => continue,
        };
        let alias = taken.unique(name.as_deref().unwrap_or(NO_NAME), is_hidden);
        match item {
            SelectItem::ExprWithAlias { alias: old, .. } => *old = alias,
            SelectItem::UnnamedExpr(expression) => {
                let expr = std::mem::replace(expression, Expr::value(Value::Null));
                *item = SelectItem::ExprWithAlias { expr, alias };
            }
            _ => {}
        }
    }
}

fn folded(name: &Ident) -> String {
    match name.quote_style {
        Some(_) => name.value.clone(),
        None => name.value.to_ascii_lowercase(),
    }
}

fn last(name: &ObjectName) -> Option<String> {
    name.0.last()?.as_ident().map(folded)
}

fn is_of_column(expression: &Expr) -> bool {
    match expression {
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) => true,
        Expr::Cast { expr, .. } | Expr::Nested(expr) | Expr::Collate { expr, .. } => {
            is_of_column(expr)
        }
        _ => false,
    }
}

/// PostgreSQL's `FigureColname`.
fn figured(expression: &Expr) -> Option<String> {
    let own = |name: &str| Some(name.to_owned());
    match expression {
        Expr::Identifier(name) => Some(folded(name)),
        Expr::CompoundIdentifier(parts) => parts.last().map(folded),
        Expr::Nested(inner) => figured(inner),
        Expr::Collate { expr, .. } => figured(expr),
        Expr::Function(function) => match (&function.args, last(&function.name)) {
            (FunctionArguments::Subquery(_), Some(name)) if name == "array" => own("array"),
            (_, name) => name,
        },
        Expr::Cast {
            expr, data_type, ..
        } => of_value(expr).or_else(|| Some(of_type(data_type))),
        Expr::TypedString(typed) => Some(of_type(&typed.data_type)),
        Expr::Interval(_) => own("interval"),
        Expr::AtTimeZone { .. } => own("timezone"),
        Expr::Extract { .. } => own("extract"),
        Expr::Ceil { .. } => own("ceil"),
        Expr::Floor { .. } => own("floor"),
        Expr::Position { .. } => own("position"),
        Expr::Substring { .. } => own("substring"),
        Expr::Overlay { .. } => own("overlay"),
        Expr::Trim { trim_where, .. } => own(match trim_where {
            Some(TrimWhereField::Leading) => "ltrim",
            Some(TrimWhereField::Trailing) => "rtrim",
            _ => "btrim",
        }),
        Expr::Case { else_result, .. } => else_result
            .as_deref()
            .and_then(of_value)
            .or_else(|| own("case")),
        Expr::Exists { .. } => own("exists"),
        Expr::Array(_) => own("array"),
        Expr::Tuple(_) => own("row"),
        Expr::Subquery(query) => of_query(query),
        _ => None,
    }
}

/// A name that is not one of a type or of `CASE`, which give way to those around.
fn of_value(expression: &Expr) -> Option<String> {
    match expression {
        Expr::Nested(inner) => of_value(inner),
        Expr::Cast { expr, .. } => of_value(expr),
        Expr::Case { else_result, .. } => of_value(else_result.as_deref()?),
        Expr::TypedString(_) | Expr::Interval(_) | Expr::Value(_) => None,
        other => figured(other),
    }
}

fn of_query(query: &Query) -> Option<String> {
    let SetExpr::Select(select) = query.body.as_ref() else {
        return None;
    };
    match select.projection.first()? {
        SelectItem::ExprWithAlias { alias, .. } => Some(folded(alias)),
        SelectItem::UnnamedExpr(expression) => figured(expression),
        _ => None,
    }
}

/// As `pg_type` has it.
fn of_type(kind: &DataType) -> String {
    let name = match kind {
        DataType::Bool | DataType::Boolean => "bool",
        DataType::SmallInt(_) | DataType::Int2(_) => "int2",
        DataType::Int(_) | DataType::Integer(_) | DataType::Int4(_) => "int4",
        DataType::BigInt(_) | DataType::Int8(_) => "int8",
        DataType::Real | DataType::Float4 => "float4",
        DataType::Double(_) | DataType::DoublePrecision | DataType::Float8 | DataType::Float(_) => {
            "float8"
        }
        DataType::Numeric(_) | DataType::Decimal(_) | DataType::Dec(_) => "numeric",
        DataType::Varchar(_) | DataType::CharacterVarying(_) => "varchar",
        DataType::Char(_) | DataType::Character(_) => "bpchar",
        DataType::Timestamp(_, TimezoneInfo::WithTimeZone | TimezoneInfo::Tz) => "timestamptz",
        DataType::Timestamp(..) => "timestamp",
        DataType::Array(
            ArrayElemTypeDef::SquareBracket(of, _)
            | ArrayElemTypeDef::AngleBracket(of)
            | ArrayElemTypeDef::Parenthesis(of),
        ) => return of_type(of),
        DataType::Custom(name, _) => return last(name).unwrap_or_default(),
        other => {
            let text = other.to_string().to_ascii_lowercase();
            let end = text.find([' ', '(', '[']).unwrap_or(text.len());
            return text.get(..end).unwrap_or_default().to_owned();
        }
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
    use datafusion::sql::sqlparser::parser::Parser;

    use super::*;

    fn after(sql: &str) -> String {
        let mut parsed = Parser::parse_sql(&PostgreSqlDialect {}, sql).unwrap();
        named(&mut parsed[0]);
        parsed[0].to_string().replace(MARK, "~")
    }

    fn names(sql: &str) -> Vec<String> {
        let mut parsed = Parser::parse_sql(&PostgreSqlDialect {}, sql).unwrap();
        named(&mut parsed[0]);
        let Statement::Query(query) = &parsed[0] else {
            panic!("{sql}");
        };
        let SetExpr::Select(select) = query.body.as_ref() else {
            panic!("{sql}");
        };
        let names = select.projection.iter().map(|item| match item {
            SelectItem::ExprWithAlias { alias, .. } => shown(&alias.value).to_owned(),
            other => other.to_string(),
        });
        names.collect()
    }

    /// As psql shows them over a PostgreSQL 16.
    #[test]
    fn columns_have_the_names_of_postgresql() {
        let found = names(
            "SELECT date_trunc('day', a), date_trunc('week', a), 1, 1, 'x', NULL, a + 1, count(*), pg_catalog.version(), \
             a::text, 1::text, CAST(NULL AS bigint), (f(a))::int, true, DATE '2024-03-04', INTERVAL '1 day', \
             CASE WHEN a THEN b END, CASE WHEN a THEN 1 ELSE b END, (a), (a + 1), coalesce(a, 1), \
             EXTRACT(year FROM a), a AT TIME ZONE 'UTC', EXISTS (SELECT 1), (SELECT max(b) FROM t), (SELECT b AS c FROM t), \
             ARRAY[1], trim(a), substring(a from 1), 1::timestamptz, 1::timestamp, 1::double precision, 1::numeric(3), '{}'::int[], a",
        );
        let wanted = "date_trunc date_trunc ?column? ?column? ?column? ?column? ?column? count version \
            a text int8 f ?column? date interval case b a ?column? coalesce \
            extract timezone exists max c array btrim substring timestamptz timestamp float8 numeric int4 a";
        assert_eq!(
            found.join(" "),
            wanted.split_whitespace().collect::<Vec<_>>().join(" ")
        );
    }

    #[test]
    fn what_would_be_the_same_has_a_mark_that_nobody_sees() {
        for (sql, wanted) in [
            (
                "SELECT 1, 1",
                r#"SELECT 1 AS "?column?", 1 AS "?column?~2""#,
            ),
            ("SELECT a, a, t.a", r#"SELECT a, a AS "a~1", t.a"#),
            (
                "SELECT 1 AS a, 2 AS A, 3 AS \"A\"",
                r#"SELECT 1 AS a, 2 AS "a~1", 3 AS "A""#,
            ),
            (
                "SELECT lower, lower(b), b AS lower",
                r#"SELECT lower, lower(b) AS "lower~1", b AS "lower~2""#,
            ),
            (
                "SELECT *, lower(b) FROM t",
                r#"SELECT *, lower(b) AS "lower~1" FROM t"#,
            ),
            // Sorted by the column, and by what an outer statement calls it.
            (
                "SELECT a::date FROM t ORDER BY a",
                r#"SELECT a::DATE AS "a~1" FROM t ORDER BY a"#,
            ),
            (
                "SELECT a FROM (SELECT a::date FROM t) AS u",
                r#"SELECT a FROM (SELECT a::DATE AS "a" FROM t) AS u"#,
            ),
            (
                "WITH u AS (SELECT count(*) FROM t) SELECT count FROM u",
                r#"WITH u AS (SELECT count(*) AS "count" FROM t) SELECT count FROM u"#,
            ),
        ] {
            assert_eq!(after(sql), wanted);
        }
        assert_eq!(shown("a\u{1f}7"), "a");
        assert_eq!(shown("__alias_oid"), "oid");
    }
}
