//! What came of a drill or a benchmark: as text, as JSON, and as a page with a picture.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::anyhow;
use plotters::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::Value;

const PLOT_SIZE: (u32, u32) = (860, 380);

/// What came of a drill or a benchmark.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Its name.
    pub name: &'static str,
    /// What a page calls it.
    pub title: String,
    /// What was done and what is promised, in a few sentences.
    pub about: String,
    /// Whether this was a release build.
    pub release: bool,
    /// What was not as promised.
    pub failures: Vec<String>,
    /// The goals, and what was measured.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub goals: Vec<Goal>,
    /// The figures, one object a row.
    pub(crate) rows: Vec<Row>,
    /// A picture of them.
    #[serde(skip)]
    pub plot: Option<Plot>,
}

/// A goal, and how near it is.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Goal {
    what: String,
    limit: f64,
    is_least: bool,
    measured: f64,
}

impl Goal {
    /// To measure this or less.
    pub fn at_most(what: &str, limit: f64) -> Self {
        Self { what: what.to_owned(), limit, is_least: false, measured: f64::NAN }
    }

    /// To measure this or more.
    pub fn at_least(what: &str, limit: f64) -> Self {
        Self { is_least: true, ..Self::at_most(what, limit) }
    }

    /// Whether it is reached.
    pub fn is_reached(&self) -> bool {
        if self.is_least { self.measured >= self.limit } else { self.measured <= self.limit }
    }

    /// What it is about.
    pub fn what(&self) -> &str {
        &self.what
    }

    /// The limit, in words.
    pub fn limit(&self) -> String {
        format!("{} {}", if self.is_least { "at least" } else { "at most" }, self.limit)
    }

    /// What was measured.
    pub fn measured(&self) -> f64 {
        self.measured
    }
}

/// Figures by their names, in the order in which they are shown.
pub(crate) struct Row(pub(crate) Vec<(&'static str, Value)>);

impl Row {
    pub(crate) fn get(&self, name: &str) -> &Value {
        self.0.iter().find(|(known, _)| *known == name).map_or(&Value::Null, |(_, value)| value)
    }
}

impl Serialize for Row {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

/// A picture.
pub enum Plot {
    /// Lines over one axis.
    Lines {
        /// What it shows.
        title: &'static str,
        /// What the horizontal axis counts.
        x: &'static str,
        /// What the vertical axis counts.
        y: &'static str,
        /// The lines by their names.
        lines: Vec<(String, Vec<(f64, f64)>)>,
    },
    /// A bar for each of several, on a scale of powers of ten where they are far apart.
    Bars {
        /// What it shows.
        title: &'static str,
        /// What the bars count.
        unit: &'static str,
        /// The bars by their names.
        bars: Vec<(String, f64)>,
    },
}

impl Report {
    /// An empty one.
    pub fn new(name: &'static str, title: impl Into<String>, about: impl Into<String>) -> Self {
        Self {
            name,
            title: title.into(),
            about: about.into(),
            release: !cfg!(debug_assertions),
            failures: Vec::new(),
            goals: Vec::new(),
            rows: Vec::new(),
            plot: None,
        }
    }

    /// Adds a row.
    pub fn row(&mut self, row: Vec<(&'static str, Value)>) {
        self.rows.push(Row(row));
    }

    /// Notes what is not as promised.
    pub(crate) fn demand(&mut self, promised: bool, otherwise: impl FnOnce() -> String) {
        if !promised {
            self.failures.push(otherwise());
        }
    }

    /// Notes a goal, and what was measured.
    pub fn goal(&mut self, goal: Goal, measured: f64) {
        self.goals.push(Goal { measured, ..goal });
    }

    /// Whether all goals are reached.
    pub fn all_reached(&self) -> bool {
        self.goals.iter().all(Goal::is_reached)
    }

    /// For a terminal.
    pub fn text(&self) -> String {
        let table = self.cells();
        let widths: Vec<usize> = (0..table.first().map_or(0, Vec::len))
            .map(|column| {
                table
                    .iter()
                    .filter_map(|row| row.get(column))
                    .map(|cell| cell.chars().count())
                    .max()
                    .unwrap_or(0)
            })
            .collect();
        let mut text = format!("{}\n\n", self.about);
        for row in &table {
            let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
            let _ = writeln!(text, "{}", cells.collect::<Vec<_>>().join("  ").trim_end());
        }
        for goal in &self.goals {
            let reached = if goal.is_reached() { "reached" } else { "NOT reached" };
            let _ = write!(text, "\n{reached}: {} {}: {}", goal.what, goal.limit(), goal.measured);
        }
        let _ = match self.failures.as_slice() {
            [] if !self.goals.is_empty() => Ok(()),
            [] => write!(text, "\nAs promised."),
            failures => write!(text, "\nNOT as promised:\n- {}", failures.join("\n- ")),
        };
        text
    }

    /// Writes `<name>.md` and, with a picture, `<name>.svg`.
    pub(crate) fn write(&self, directory: &Path, command: &str) -> anyhow::Result<()> {
        std::fs::create_dir_all(directory)?;
        let build = if self.release { "release" } else { "debug" };
        let today = jiff::Zoned::now().date();
        let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
        let mut page = format!("# {}\n\n", self.title);
        let _ = writeln!(
            page,
            "Written by `notify-me {command}` ({build} build) on {today}, {} {}, {cores} cores.\n",
            std::env::consts::OS,
            std::env::consts::ARCH,
        );
        page.push_str(&self.section(directory)?);
        let _ = match self.failures.as_slice() {
            [] => writeln!(page, "\nEverything was as promised."),
            failures => writeln!(page, "\nNot as promised:\n\n- {}", failures.join("\n- ")),
        };
        std::fs::write(directory.join(format!("{}.md", self.name)), page)?;
        Ok(())
    }

    /// What it is about, the picture (`<name>.svg`, which is written) and the table, in Markdown.
    ///
    /// # Errors
    /// When the picture cannot be drawn.
    pub fn section(&self, directory: &Path) -> anyhow::Result<String> {
        let mut section = format!("{}\n\n", self.about);
        if let Some(plot) = &self.plot {
            plot.draw(&directory.join(format!("{}.svg", self.name)))?;
            let _ = writeln!(section, "![{}]({}.svg)\n", plot.title(), self.name);
        }
        let table = self.cells();
        for (number, row) in table.iter().enumerate() {
            let _ = writeln!(section, "| {} |", row.join(" | "));
            if number == 0 {
                let _ = writeln!(section, "|{}", "---|".repeat(row.len()));
            }
        }
        Ok(section)
    }

    /// The rows as cells under their names.
    fn cells(&self) -> Vec<Vec<String>> {
        let Some(Row(first)) = self.rows.first() else { return Vec::new() };
        let names: Vec<&str> = first.iter().map(|(name, _)| *name).collect();
        let rows =
            self.rows.iter().map(|row| names.iter().map(|name| cell(row.get(name))).collect::<Vec<_>>());
        let rows: Vec<_> = rows.collect();
        std::iter::once(names.into_iter().map(str::to_owned).collect()).chain(rows).collect()
    }
}

fn cell(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "–".to_owned(),
        other => other.to_string(),
    }
}

impl Plot {
    fn title(&self) -> &'static str {
        let (Self::Lines { title, .. } | Self::Bars { title, .. }) = self;
        title
    }

    fn draw(&self, file: &Path) -> anyhow::Result<()> {
        match self {
            Self::Lines { title, x, y, lines } => draw_lines(file, title, x, y, lines),
            Self::Bars { title, unit, bars } => draw_bars(file, title, unit, bars),
        }
        .map_err(|error| anyhow!("the picture cannot be drawn: {error}"))
    }
}

type Drawn = Result<(), Box<dyn std::error::Error>>;

fn draw_lines(file: &Path, title: &str, x: &str, y: &str, lines: &[(String, Vec<(f64, f64)>)]) -> Drawn {
    let points = || lines.iter().flat_map(|(_, line)| line);
    let top = |pick: fn(&(f64, f64)) -> f64| points().map(pick).fold(0.0, f64::max).max(1.0) * 1.05;
    let area = SVGBackend::new(file, PLOT_SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption(title, ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(60)
        .build_cartesian_2d(0.0..top(|point| point.0), 0.0..top(|point| point.1))?;
    chart.configure_mesh().x_desc(x).y_desc(y).light_line_style(WHITE).draw()?;
    for (number, (name, line)) in lines.iter().enumerate() {
        let colour = Palette99::pick(number).to_rgba();
        chart
            .draw_series(LineSeries::new(line.iter().copied(), colour.stroke_width(2)).point_size(2))?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
    }
    chart.configure_series_labels().border_style(BLACK).background_style(WHITE).draw()?;
    area.present()?;
    Ok(())
}

/// The height of a bar with the space around it, and the width of the names before them.
const BAR: i32 = 30;
const NAMES: i32 = 190;

fn draw_bars(file: &Path, title: &str, unit: &str, bars: &[(String, f64)]) -> Drawn {
    let width = i32::try_from(PLOT_SIZE.0)?;
    let height = 64 + BAR * i32::try_from(bars.len())?;
    let most = bars.iter().map(|(_, value)| *value).fold(0.0, f64::max);
    let least = bars.iter().map(|(_, value)| *value).filter(|value| *value > 0.0).fold(most, f64::min);
    // Far apart: each power of ten is as long as the others, and one more keeps the least visible.
    let by_powers = most > least * 50.0;
    let length = |value: f64| {
        let share = match by_powers {
            true => (value / least * 2.0).max(1.0).log10() / (most / least * 2.0).log10(),
            false => value / most.max(f64::MIN_POSITIVE),
        };
        (share * f64::from(width - NAMES - 110)) as i32
    };
    let area = SVGBackend::new(file, (PLOT_SIZE.0, u32::try_from(height)?)).into_drawing_area();
    area.fill(&WHITE)?;
    let scale = if by_powers { " (each power of ten is as long as the others)" } else { "" };
    area.draw(&Text::new(title.to_owned(), (12, 10), ("sans-serif", 18)))?;
    area.draw(&Text::new(format!("{unit}{scale}"), (12, 34), ("sans-serif", 12)))?;
    for (number, (name, value)) in bars.iter().enumerate() {
        let top = 58 + BAR * i32::try_from(number)?;
        let colour = if number == 0 { RGBColor(29, 78, 216) } else { RGBColor(148, 163, 184) };
        area.draw(&Text::new(name.clone(), (12, top + 4), ("sans-serif", 13)))?;
        let end = NAMES + length(*value).max(2);
        area.draw(&Rectangle::new([(NAMES, top), (end, top + BAR - 8)], colour.filled()))?;
        area.draw(&Text::new(format!("{value}"), (end + 6, top + 4), ("sans-serif", 13)))?;
    }
    area.present()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

    use serde_json::json;

    use super::*;

    #[test]
    fn a_report_is_a_page_with_its_table_its_plot_and_what_failed() {
        let mut report = Report::new("kill", "Drill: kill", "About it.");
        report.row(vec![("killed", json!("after table PutItem")), ("lost", json!(0))]);
        report.demand(true, || unreachable!());
        report.demand(false, || "one was lost".to_owned());
        let lines = vec![("resend".to_owned(), vec![(1.0, 2.0), (2.0, 50.0)])];
        report.plot = Some(Plot::Lines { title: "In doubt", x: "request", y: "people", lines });
        let directory = tempfile::tempdir().unwrap();
        report.write(directory.path(), "drill kill").unwrap();
        let page = std::fs::read_to_string(directory.path().join("kill.md")).unwrap();
        assert!(page.contains("| killed | lost |\n|---|---|\n| after table PutItem | 0 |"), "{page}");
        assert!(page.contains("- one was lost") && page.contains("](kill.svg)"), "{page}");
        let plot = std::fs::read_to_string(directory.path().join("kill.svg")).unwrap();
        assert!(plot.starts_with("<svg") && plot.contains("In doubt"), "{plot}");
        assert!(report.text().contains("NOT as promised"));
    }

    #[test]
    fn bars_far_apart_are_drawn_by_powers_of_ten_and_goals_are_told_with_what_was_measured() {
        let mut report = Report::new("warm", "Warm", "About it.");
        report.goal(Goal::at_most("CPU (ms)", 4.0), 5.0);
        report.goal(Goal::at_least("mails a second", 5_000.0), 6_000.0);
        let bars = vec![("ours".to_owned(), 4.0), ("theirs".to_owned(), 400.0)];
        report.plot = Some(Plot::Bars { title: "CPU", unit: "ms", bars });
        let directory = tempfile::tempdir().unwrap();
        let section = report.section(directory.path()).unwrap();
        assert!(section.contains("![CPU](warm.svg)"), "{section}");
        let plot = std::fs::read_to_string(directory.path().join("warm.svg")).unwrap();
        assert!(plot.contains("power of ten") && plot.contains("theirs"), "{plot}");
        assert!(!report.all_reached());
        let text = report.text();
        assert!(text.contains("NOT reached: CPU (ms) at most 4: 5"), "{text}");
        assert!(text.contains("\nreached: mails a second at least 5000: 6000"), "{text}");
    }
}
