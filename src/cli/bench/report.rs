//! The table: each figure, its yardstick, their ratio, and whether the goal is met.

use serde_json::{Value, json};

/// What is reached, or not.
#[derive(Debug, Clone, Copy)]
pub(super) enum Goal {
    /// The figure is at least this share of its yardstick.
    ShareAtLeast(f64),
    /// The figure is at most this many times its yardstick.
    TimesAtMost(f64),
    /// The figure is at most this.
    AtMost(f64),
}

/// What a figure counts.
#[derive(Debug, Clone, Copy)]
pub(super) enum Unit {
    PerSecond,
    Microseconds,
    Milliseconds,
    Seconds,
    Megabytes,
    Bytes,
    Count,
}

/// One measurement.
#[derive(Debug)]
pub(super) struct Row {
    pub store: &'static str,
    pub what: String,
    pub figure: f64,
    pub unit: Unit,
    /// CPU time of the measured process for each operation, in microseconds.
    pub cpu_us: Option<f64>,
    /// The yardstick's name and figure, in the same unit.
    pub yardstick: Option<(&'static str, f64)>,
    pub goal: Option<Goal>,
    /// The share of the machine's CPU time that other processes took meanwhile.
    pub others: f64,
}

/// All rows so far.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub rows: Vec<Row>,
    /// What else has to be known, below the table.
    pub notes: Vec<String>,
}

impl Unit {
    const fn name(self) -> &'static str {
        match self {
            Self::PerSecond => "/s",
            Self::Microseconds => " µs",
            Self::Milliseconds => " ms",
            Self::Seconds => " s",
            Self::Megabytes => " MB",
            Self::Bytes => " B",
            Self::Count => "",
        }
    }

    fn show(self, figure: f64) -> String {
        let digits = if figure < 10.0 { 2 } else { usize::from(figure < 100.0) };
        format!("{figure:.digits$}{}", self.name())
    }
}

impl Row {
    /// A row without yardstick and goal.
    pub fn new(what: impl Into<String>, figure: f64, unit: Unit) -> Self {
        Self { store: "", what: what.into(), figure, unit, cpu_us: None, yardstick: None, goal: None, others: 0.0 }
    }

    pub fn against(mut self, name: &'static str, figure: f64) -> Self {
        self.yardstick = Some((name, figure));
        self
    }

    pub fn goal(mut self, goal: impl Into<Option<Goal>>) -> Self {
        self.goal = goal.into();
        self
    }

    pub const fn cpu_us(mut self, cpu_us: f64) -> Self {
        self.cpu_us = Some(cpu_us);
        self
    }

    fn ratio(&self) -> Option<f64> {
        self.yardstick.map(|(_, yardstick)| self.figure / yardstick)
    }

    fn met(&self) -> Option<bool> {
        let ratio = self.ratio().unwrap_or(f64::NAN);
        self.goal.map(|goal| match goal {
            Goal::ShareAtLeast(share) => ratio >= share,
            Goal::TimesAtMost(times) => ratio <= times,
            Goal::AtMost(most) => self.figure <= most,
        })
    }

    fn goal_text(&self) -> String {
        match self.goal {
            None => String::new(),
            Some(Goal::ShareAtLeast(share)) => format!("≥ {share}"),
            Some(Goal::TimesAtMost(times)) => format!("≤ {times}"),
            Some(Goal::AtMost(most)) => format!("≤ {most}{}", self.unit.name()),
        }
    }

    fn cells(&self) -> [String; 9] {
        [
            self.store.into(),
            self.what.clone(),
            self.unit.show(self.figure),
            self.cpu_us.map_or(String::new(), |cpu| Unit::Microseconds.show(cpu)),
            self.yardstick.map_or(String::new(), |(name, figure)| format!("{name}: {}", self.unit.show(figure))),
            self.ratio().map_or(String::new(), |ratio| format!("{ratio:.2}")),
            self.goal_text(),
            self.met().map_or("", |met| if met { "met" } else { "missed" }).into(),
            format!("{:.0} %", 100.0 * self.others),
        ]
    }
}

const HEADS: [&str; 9] = ["store", "row", "figure", "CPU each", "yardstick", "ratio", "goal", "", "others"];

impl Report {
    /// A Markdown table that is also readable as it stands.
    pub fn table(&self) -> String {
        let rows: Vec<_> = self.rows.iter().map(Row::cells).collect();
        let width = |column: usize| {
            let cells = rows.iter().map(|cells| cells[column].chars().count());
            cells.chain([HEADS[column].chars().count(), 3]).max().unwrap_or(0)
        };
        let widths: [usize; 9] = std::array::from_fn(width);
        let line = |cells: &[String; 9]| {
            let padded: Vec<_> = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
            format!("| {} |\n", padded.join(" | "))
        };
        let mut table = line(&HEADS.map(str::to_owned)) + &line(&widths.map(|width| "-".repeat(width)));
        table.extend(rows.iter().map(line));
        table.extend(self.notes.iter().map(|note| format!("\n{note}\n")));
        table
    }

    pub fn json(&self) -> Value {
        let rows = self.rows.iter().map(|row| {
            json!({
                "store": row.store,
                "row": row.what,
                "figure": row.figure,
                "unit": row.unit.name().trim(),
                "cpu_us": row.cpu_us,
                "yardstick": row.yardstick.map(|(name, figure)| json!({"name": name, "figure": figure})),
                "ratio": row.ratio(),
                "goal": row.goal.map(|_| row.goal_text()),
                "met": row.met(),
                "others_share": row.others,
            })
        });
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        json!({"version": env!("CARGO_PKG_VERSION"), "cores": cores, "rows": rows.collect::<Vec<_>>(), "notes": self.notes})
    }
}
