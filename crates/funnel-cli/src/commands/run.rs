//! `funnel run`: named queries.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use funnel_query::named::{self, NamedQuery};

use super::context::Context;
use crate::args::RunArgs;
use crate::error::{CliError, Result};
use crate::exit::Exit;
use crate::output::Output;

pub(super) async fn run(context: &Context, args: RunArgs) -> Result<Exit> {
    let output = Output::new(&args.output)?;
    let Some(name) = args.name else {
        list(&output)?;
        return Ok(Exit::Done);
    };
    let queries = named::list()?;
    if !queries.iter().any(|query| query.name == name) {
        let names: Vec<_> = queries.iter().map(|query| query.name.as_str()).collect();
        return Err(CliError::usage(format!("there is no query `{name}`"))
            .hint(format!("`funnel run` lists them: {}", names.join(", "))));
    }
    let mut params = BTreeMap::new();
    for param in args.param {
        if params.insert(param.name.clone(), param.value).is_some() {
            return Err(CliError::usage(format!(
                "--param {} is given twice",
                param.name
            )));
        }
    }
    let session = context.session().await?;
    let batches = named::run(&session, &name, &params).await?;
    let Some(first) = batches.first() else {
        return Ok(Exit::Done);
    };
    output.batches(&first.schema(), &batches)?;
    Ok(Exit::Done)
}

fn list(output: &Output) -> Result<()> {
    let queries = named::list()?;
    let column = |pick: &dyn Fn(&NamedQuery) -> String| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(queries.iter().map(pick)))
    };
    let batch = RecordBatch::try_from_iter([
        ("name", column(&|query| query.name.clone())),
        ("question", column(&|query| query.question.clone())),
        ("parameters", column(&parameters)),
    ])
    .map_err(CliError::output)?;
    output.batches(&batch.schema(), &[batch]).map(drop)
}

/// `from:DATE to:DATE [account:TEXT]`; what may be left out stands in brackets.
fn parameters(query: &NamedQuery) -> String {
    let words: Vec<_> = query
        .params
        .iter()
        .map(|param| match param.default {
            Some(_) => format!("[{}:{}]", param.name, param.kind),
            None => format!("{}:{}", param.name, param.kind),
        })
        .collect();
    words.join(" ")
}
