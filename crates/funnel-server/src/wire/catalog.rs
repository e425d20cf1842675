//! The database as a client sees it: its name, the tables of the lake, `pg_catalog`.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError, RwLock};

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int32Type, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::information_schema::{INFORMATION_SCHEMA, InformationSchemaProvider};
use datafusion::catalog::{
    CatalogProvider, CatalogProviderList, MemoryCatalogProvider, MemoryCatalogProviderList,
    SchemaProvider,
};
use datafusion::common::internal_err;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::TableType;
use datafusion::prelude::SessionContext;
use datafusion_pg_catalog::pg_catalog::catalog_info::CatalogInfo;
use datafusion_pg_catalog::pg_catalog::context::{PgCatalogContextProvider, Role};
use datafusion_pg_catalog::pg_catalog::{
    ArrowTable, PG_CATALOG_TABLES, PgCatalogSchemaProvider, PgCatalogStaticTables,
};
use funnel_query::QuerySession;

use super::information::Information;
use super::settings::Settings;
use super::{procedures, tables};

/// The schema of the tables, by PostgreSQL's name for it.
pub(super) const SCHEMA: &str = "public";
pub(super) const SYSTEM_SCHEMA: &str = "pg_catalog";

/// The texts of views, by the identifiers that `pg_class` has told of.
pub(super) type Views = Arc<Mutex<HashMap<i32, String>>>;

/// The tables of `pg_catalog` that are the same for everybody: read once.
static FIXED: LazyLock<Option<Arc<PgCatalogStaticTables>>> = LazyLock::new(|| {
    let tables = PgCatalogStaticTables::try_new();
    tables
        .inspect_err(|error| tracing::error!(%error, "the tables of pg_catalog could not be read"))
        .ok()
        .map(Arc::new)
});

/// The keywords of PostgreSQL, for `pg_get_keywords()`.
pub(super) fn keywords() -> Option<Arc<ArrowTable>> {
    FIXED
        .as_ref()
        .map(|tables| Arc::clone(&tables.pg_get_keywords))
}

/// The database of one connection. Identifiers (`oid`) stay the same as long as it lives, whatever the lake does.
#[derive(Debug)]
pub(super) struct Database {
    name: String,
    tables: Tables,
    system: Arc<dyn SchemaProvider>,
    views: Views,
}

impl Database {
    pub(super) fn new(name: String, user: String, settings: Arc<Mutex<Settings>>) -> Result<Self> {
        let fixed = FIXED
            .clone()
            .ok_or_else(|| DataFusionError::Internal("no tables of pg_catalog".to_owned()))?;
        let tables = Tables {
            database: name.clone().into(),
            current: Arc::default(),
        };
        let roles = Roles { user: user.into() };
        let library = PgCatalogSchemaProvider::try_new(tables.clone(), fixed, roles)?;
        let views = Views::default();
        let system = System {
            library,
            settings,
            tables: tables.clone(),
            views: Arc::clone(&views),
        };
        Ok(Self {
            name,
            tables,
            system: Arc::new(system),
            views,
        })
    }

    pub(super) fn views(&self) -> &Views {
        &self.views
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The catalogs of a session over this state of the lake.
    pub(super) fn over(&self, session: &QuerySession) -> Result<Arc<dyn CatalogProviderList>> {
        let ctx = session.ctx();
        let state = ctx.state();
        let names = &state.config().options().catalog;
        let schema = ctx
            .catalog(&names.default_catalog)
            .and_then(|catalog| catalog.schema(&names.default_schema))
            .ok_or_else(|| DataFusionError::Internal("a session without tables".to_owned()))?;
        *self
            .tables
            .current
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&schema));
        let schemas = vec![(SCHEMA, schema), (SYSTEM_SCHEMA, Arc::clone(&self.system))];
        // What the information schema tells of must not hold the information schema: neither would ever be freed.
        let described = self.listed(&schemas, None)?;
        let information = Information {
            library: InformationSchemaProvider::new(described)
                .with_table_functions(state.table_functions().clone()),
            database: self.name.clone(),
            schemas: schemas.clone(),
        };
        self.listed(&schemas, Some(information))
    }

    fn listed(
        &self,
        schemas: &[(&'static str, Arc<dyn SchemaProvider>)],
        information: Option<Information>,
    ) -> Result<Arc<dyn CatalogProviderList>> {
        let catalog = MemoryCatalogProvider::new();
        for (name, schema) in schemas {
            catalog.register_schema(name, Arc::clone(schema))?;
        }
        if let Some(information) = information {
            catalog.register_schema(INFORMATION_SCHEMA, Arc::new(information))?;
        }
        let list = MemoryCatalogProviderList::new();
        list.register_catalog(self.name.clone(), Arc::new(catalog));
        Ok(Arc::new(list))
    }
}

/// What `pg_class` and others of that kind tell of.
#[derive(Debug, Clone)]
struct Tables {
    database: Arc<str>,
    current: Arc<RwLock<Option<Arc<dyn SchemaProvider>>>>,
}

impl Tables {
    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        if name != SCHEMA {
            return None;
        }
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        current.clone()
    }
}

#[async_trait]
impl CatalogInfo for Tables {
    async fn catalog_names(&self) -> Result<Vec<String>> {
        Ok(vec![self.database.to_string()])
    }

    async fn schema_names(&self, _catalog: &str) -> Result<Option<Vec<String>>> {
        let names = [SYSTEM_SCHEMA, SCHEMA, INFORMATION_SCHEMA];
        Ok(Some(names.map(str::to_owned).to_vec()))
    }

    async fn table_names(&self, _catalog: &str, schema: &str) -> Result<Option<Vec<String>>> {
        let names = self.schema(schema).map(|schema| schema.table_names());
        Ok(names.map(|mut names| {
            names.sort();
            names
        }))
    }

    async fn table_schema(
        &self,
        _catalog: &str,
        schema: &str,
        table: &str,
    ) -> Result<Option<SchemaRef>> {
        match self.schema(schema) {
            Some(schema) => Ok(schema.table(table).await?.map(|table| table.schema())),
            None => Ok(None),
        }
    }

    async fn table_type(
        &self,
        _catalog: &str,
        schema: &str,
        table: &str,
    ) -> Result<Option<TableType>> {
        match self.schema(schema) {
            Some(schema) => schema.table_type(table).await,
            None => Ok(None),
        }
    }
}

/// The caller is the only role that there is.
#[derive(Debug, Clone)]
struct Roles {
    user: Arc<str>,
}

#[async_trait]
impl PgCatalogContextProvider for Roles {
    async fn roles(&self) -> Vec<String> {
        vec![self.user.to_string()]
    }

    async fn role(&self, name: &str) -> Option<Role> {
        Some(Role {
            name: name.to_owned(),
            is_superuser: false,
            can_login: true,
            can_create_db: false,
            can_create_role: false,
            can_create_user: false,
            can_replication: false,
            grants: Vec::new(),
            inherited_roles: Vec::new(),
        })
    }
}

/// `pg_catalog`, with what the library leaves out.
#[derive(Debug)]
struct System {
    library: PgCatalogSchemaProvider<Tables, Roles>,
    settings: Arc<Mutex<Settings>>,
    tables: Tables,
    views: Views,
}

impl System {
    /// Keeps the texts of the views that this `pg_class` tells of.
    async fn keep_views(&self, classes: &[RecordBatch]) -> Result<()> {
        let Some(schema) = self.tables.schema(SCHEMA) else {
            return Ok(());
        };
        let mut views = HashMap::new();
        for batch in classes {
            let column = |name: &str, kind: &DataType| match batch.column_by_name(name) {
                Some(column) => Ok(cast(column, kind)?),
                None => internal_err!("pg_class has no {name}"),
            };
            let oids = column("oid", &DataType::Int32)?;
            let names = column("relname", &DataType::Utf8)?;
            let oids = oids.as_primitive::<Int32Type>();
            for (oid, name) in oids.iter().zip(names.as_string::<i32>()) {
                let (Some(oid), Some(name)) = (oid, name) else {
                    continue;
                };
                let table = schema.table(name).await?;
                let definition = table
                    .as_ref()
                    .and_then(|table| table.get_table_definition());
                views.extend(definition.map(|text| (oid, text.to_owned())));
            }
        }
        *self.views.lock().unwrap_or_else(PoisonError::into_inner) = views;
        Ok(())
    }
}

#[async_trait]
impl SchemaProvider for System {
    fn table_names(&self) -> Vec<String> {
        let mut names: Vec<String> = PG_CATALOG_TABLES.iter().map(ToString::to_string).collect();
        names.extend(tables::ADDED.iter().map(ToString::to_string));
        names
    }

    async fn table(
        &self,
        name: &str,
    ) -> Result<Option<Arc<dyn datafusion::catalog::TableProvider>>> {
        if name == "pg_settings" {
            let settings = self.settings.lock().unwrap_or_else(PoisonError::into_inner);
            return tables::settings(&settings).map(Some);
        }
        if let Some(table) = tables::empty(name)? {
            return Ok(Some(table));
        }
        let Some(known) = self.library.table(name).await? else {
            return Ok(None);
        };
        let table = match name {
            "pg_class" => {
                let schema = known.schema();
                let classes = SessionContext::new().read_table(known)?.collect().await?;
                self.keep_views(&classes).await?;
                tables::with_options(&schema, &classes)?
            }
            "pg_proc" => match self.library.table("pg_namespace").await? {
                Some(schemas) => procedures::with_ours(known, schemas, SCHEMA).await?,
                None => known,
            },
            _ => known,
        };
        Ok(Some(table))
    }

    fn table_exist(&self, name: &str) -> bool {
        self.library.table_exist(name) || tables::ADDED.contains(&name)
    }
}
