//! Figures and how they are shown.

use std::time::Duration;

use comfy_table::{CellAlignment, Table, presets::UTF8_BORDERS_ONLY};
use serde_json::json;

use super::cpu::Cpu;

/// One measurement: how long each operation took, and all of them.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) connections: usize,
    pub(crate) latencies_us: Vec<u32>,
    pub(crate) errors: usize,
    pub(crate) took: Duration,
    /// What the parties used of the processors meanwhile, where it is known.
    pub(crate) cpu: Option<Cpu>,
}

impl Measured {
    pub(crate) fn per_second(&self) -> f64 {
        self.latencies_us.len() as f64 / self.took.as_secs_f64()
    }

    fn percentile_ms(&self, percent: usize) -> f64 {
        let mut sorted = self.latencies_us.clone();
        sorted.sort_unstable();
        let index = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
        f64::from(sorted.get(index).copied().unwrap_or(0)) / 1000.0
    }

    /// Processor time of service, MySQL, Redis, the generator and the simulator for one operation,
    /// in microseconds. What is still to be done in the background is not in it.
    fn cpu_each(&self) -> [Option<u64>; 5] {
        let each = |used: f64| {
            let each = used / self.latencies_us.len() as f64;
            each.is_finite().then_some(each.round() as u64)
        };
        self.cpu.map_or([None; 5], |cpu| {
            [
                cpu.service,
                cpu.mysql,
                cpu.redis,
                cpu.generator,
                cpu.simulator,
            ]
            .map(each)
        })
    }
}

#[derive(Debug)]
pub(crate) struct Report {
    json: bool,
    rows: Vec<(&'static str, usize, f64)>,
    table: Table,
    /// What the table has no columns for.
    values: Vec<String>,
}

impl Report {
    pub(crate) fn new(json: bool) -> Self {
        let mut table = Table::new();
        table.load_style(UTF8_BORDERS_ONLY);
        table.set_header([
            "",
            "connections",
            "a second",
            "p50 ms",
            "p95 ms",
            "p99 ms",
            "errors",
            "CPU µs each: service",
            "MySQL",
            "Redis",
            "generator",
            "simulator",
        ]);
        Self {
            json,
            rows: Vec::new(),
            table,
            values: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, name: &'static str, measured: &Measured) {
        let (per_second, p50, p95, p99) = (
            measured.per_second(),
            measured.percentile_ms(50),
            measured.percentile_ms(95),
            measured.percentile_ms(99),
        );
        let cpu = measured.cpu_each();
        if self.json {
            let [service, mysql, redis, generator, simulator] = cpu;
            println!(
                "{}",
                json!({
                    "name": name, "connections": measured.connections, "per_second": per_second.round(),
                    "p50_ms": p50, "p95_ms": p95, "p99_ms": p99, "errors": measured.errors,
                    "cpu_us_each": {
                        "service": service, "mysql": mysql, "redis": redis,
                        "generator": generator, "simulator": simulator,
                    },
                })
            );
        }
        let [service, mysql, redis, generator, simulator] =
            cpu.map(|used| used.map_or_else(String::new, |used| used.to_string()));
        eprintln!(
            "  {name} at {}: {per_second:.0}/s, p50 {p50:.1} ms, p99 {p99:.1} ms, CPU µs each: service {service}, MySQL {mysql}, Redis {redis}, generator {generator}, simulator {simulator}",
            measured.connections
        );
        self.rows.push((name, measured.connections, per_second));
        self.table.add_row([
            name.to_owned(),
            measured.connections.to_string(),
            format!("{per_second:.0}"),
            format!("{p50:.2}"),
            format!("{p95:.2}"),
            format!("{p99:.2}"),
            measured.errors.to_string(),
            service,
            mysql,
            redis,
            generator,
            simulator,
        ]);
    }

    /// A figure that is no rate.
    pub(crate) fn add_value(&mut self, name: &'static str, value: f64, unit: &'static str) {
        let rounded = (value * 10.0).round() / 10.0;
        if self.json {
            println!(
                "{}",
                json!({ "name": name, "value": rounded, "unit": unit })
            );
        }
        eprintln!("  {name}: {rounded} {unit}");
        self.values.push(format!("{name}: {rounded} {unit}"));
    }

    /// Something that happened so often in so long a time, and of which nobody waited for the
    /// single one.
    pub(crate) fn add_rate(&mut self, name: &'static str, count: usize, took: Duration) {
        let per_second = count as f64 / took.as_secs_f64();
        if self.json {
            println!(
                "{}",
                json!({ "name": name, "count": count, "per_second": per_second.round() })
            );
        }
        eprintln!("  {name}: {count} in {took:.1?}, {per_second:.0}/s");
        let rate = format!("{per_second:.0}");
        self.table
            .add_row([name, "", &rate, "", "", "", "", "", "", "", "", ""]);
    }

    fn best(&self, name: &str) -> Option<f64> {
        self.rows
            .iter()
            .filter(|(which, ..)| *which == name)
            .map(|(.., per_second)| *per_second)
            .reduce(f64::max)
    }

    pub(crate) fn finish(mut self) {
        if self.json {
            return;
        }
        for column in self.table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        println!("{}", self.table);
        for value in &self.values {
            println!("{value}");
        }
        let settle = self.best("settle_http");
        for (than, sentence) in [
            (
                "settle_per_request_tx",
                "× the same operation as a transaction per request, at its best",
            ),
            (
                "settle_raw_sql_ceiling",
                "× the same rows by raw multi-row SQL",
            ),
            (
                "settle_http_one_merchant",
                "× the same with all orders of one merchant",
            ),
        ] {
            if let (Some(settle), Some(other)) = (settle, self.best(than)) {
                println!("settle_http is {:.2} {sentence}", settle / other);
            }
        }
    }
}
