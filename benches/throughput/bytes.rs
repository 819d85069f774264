//! What a payment leaves behind: in tables, in the redo log, in the binary log.

use std::{
    fs,
    path::{Path, PathBuf},
};

use sqlx::{ConnectOptions as _, Connection as _, MySqlConnection, Row as _};

use super::{
    report::Report,
    stage::{Scratch, Stage},
};

const CONNECTIONS: usize = 64;

/// How much there is and how much was ever written, in bytes. The redo log's part is the whole
/// server's, on which nothing else happens.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Footprint {
    /// Rows and indexes, counted in whole extents of each index: of few payments it says little.
    tables: f64,
    redo: f64,
    /// None where the files are on another machine.
    binlog: Option<f64>,
}

impl Footprint {
    pub(crate) async fn read(scratch: &Scratch) -> Self {
        let mut conn = scratch.owner.clone().connect().await.unwrap();
        let footprint = Self {
            tables: tables(&mut conn).await,
            redo: redo(&mut conn).await,
            binlog: binlog(&mut conn).await,
        };
        conn.close().await.unwrap();
        footprint
    }
}

/// Of a payment that is made, and of one that is settled: what each writes, its history by the relay
/// included.
pub(crate) async fn measure(orders: usize, report: &mut Report) {
    let (stage, before, made) = Stage::set_weighed(orders).await;
    let settled = stage.settle(0..orders, CONNECTIONS).await;
    assert_eq!(settled.errors, 0, "a callback was not settled");
    let after = stage.strike_weighed().await;
    for (names, from, to) in [
        (
            ["bytes_make_tables", "bytes_make_redo", "bytes_make_binlog"],
            before,
            made,
        ),
        (
            [
                "bytes_settle_tables",
                "bytes_settle_redo",
                "bytes_settle_binlog",
            ],
            made,
            after,
        ),
        (
            ["bytes_tables", "bytes_redo", "bytes_binlog"],
            before,
            after,
        ),
    ] {
        let each = |from: f64, to: f64| (to - from) / orders as f64;
        let binlog = from.binlog.zip(to.binlog);
        let values = [
            Some(each(from.tables, to.tables)),
            Some(each(from.redo, to.redo)),
            binlog.map(|(from, to)| each(from, to)),
        ];
        for (name, value) in names.into_iter().zip(values) {
            if let Some(value) = value {
                report.add_value(name, value, "bytes for one payment");
            }
        }
    }
}

async fn tables(conn: &mut MySqlConnection) -> f64 {
    // MySQL would tell what it knew a day ago; MariaDB has no such setting.
    let _ = sqlx::raw_sql("SET SESSION information_schema_stats_expiry = 0")
        .execute(&mut *conn)
        .await;
    let names: Vec<String> = sqlx::query_scalar("SELECT CAST(table_name AS CHAR) FROM information_schema.tables WHERE table_schema = DATABASE() AND table_type = 'BASE TABLE'")
        .fetch_all(&mut *conn)
        .await
        .unwrap();
    for name in names {
        let sql = format!("ANALYZE NO_WRITE_TO_BINLOG TABLE `{name}`");
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql))
            .fetch_all(&mut *conn)
            .await
            .unwrap();
    }
    sqlx::query_scalar("SELECT CAST(SUM(data_length + index_length) AS DOUBLE) FROM information_schema.tables WHERE table_schema = DATABASE() AND table_type = 'BASE TABLE'")
        .fetch_one(conn)
        .await
        .unwrap()
}

/// How far the log's end has come: MySQL and MariaDB name it differently.
async fn redo(conn: &mut MySqlConnection) -> f64 {
    let row = sqlx::raw_sql("SHOW GLOBAL STATUS WHERE Variable_name IN ('Innodb_redo_log_current_lsn', 'Innodb_lsn_current')")
        .fetch_one(conn)
        .await
        .unwrap();
    let text: String = row.try_get(1).unwrap();
    text.parse().unwrap()
}

async fn binlog(conn: &mut MySqlConnection) -> Option<f64> {
    let base: Option<String> = sqlx::query_scalar("SELECT @@log_bin_basename")
        .fetch_one(conn)
        .await
        .ok()?;
    let base = PathBuf::from(base?);
    let (folder, name) = (base.parent()?, base.file_name()?.to_str()?);
    let size = |file: &Path| {
        let (stem, number) = (file.file_stem()?.to_str()?, file.extension()?.to_str()?);
        let is_one = stem == name && number.bytes().all(|byte| byte.is_ascii_digit());
        is_one.then(|| fs::metadata(file).ok().map(|file| file.len()))?
    };
    let files = fs::read_dir(folder).ok()?;
    let sizes = files.filter_map(|file| size(&file.ok()?.path()));
    Some(sizes.sum::<u64>() as f64)
}
