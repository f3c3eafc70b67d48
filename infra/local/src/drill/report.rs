//! What came of a drill: as text, as JSON, and as a page with a plot.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::anyhow;
use plotters::prelude::*;
use serde::Serialize;
use serde_json::Value;

const PLOT_SIZE: (u32, u32) = (860, 380);

/// What came of a drill.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    /// The drill's name.
    pub(super) drill: &'static str,
    /// What was done and what is promised, in a few sentences.
    pub(super) about: String,
    /// Whether this was a release build.
    pub(super) release: bool,
    /// What was not as promised.
    pub(super) failures: Vec<String>,
    /// The figures, one object a row.
    pub(super) rows: Vec<Row>,
    #[serde(skip)]
    pub(super) plot: Option<Plot>,
}

/// Figures by their names, in the order in which they are shown.
pub(super) struct Row(pub(super) Vec<(&'static str, Value)>);

impl Row {
    pub(super) fn get(&self, name: &str) -> &Value {
        self.0.iter().find(|(known, _)| *known == name).map_or(&Value::Null, |(_, value)| value)
    }
}

impl Serialize for Row {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

/// Lines over one axis.
pub(super) struct Plot {
    pub(super) title: &'static str,
    pub(super) x: &'static str,
    pub(super) y: &'static str,
    pub(super) lines: Vec<(String, Vec<(f64, f64)>)>,
}

impl Report {
    pub(super) fn new(drill: &'static str, about: impl Into<String>) -> Self {
        let release = !cfg!(debug_assertions);
        Self { drill, about: about.into(), release, failures: Vec::new(), rows: Vec::new(), plot: None }
    }

    /// Adds a row.
    pub(super) fn row(&mut self, row: Vec<(&'static str, Value)>) {
        self.rows.push(Row(row));
    }

    /// Notes what is not as promised.
    pub(super) fn demand(&mut self, promised: bool, otherwise: impl FnOnce() -> String) {
        if !promised {
            self.failures.push(otherwise());
        }
    }

    /// For a terminal.
    pub(super) fn text(&self) -> String {
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
        let _ = match self.failures.as_slice() {
            [] => write!(text, "\nAs promised."),
            failures => write!(text, "\nNOT as promised:\n- {}", failures.join("\n- ")),
        };
        text
    }

    /// Writes `<drill>.md` and, with a plot, `<drill>.svg`.
    pub(super) fn write(&self, directory: &Path, command: &str) -> anyhow::Result<()> {
        std::fs::create_dir_all(directory)?;
        let build = if self.release { "release" } else { "debug" };
        let today = jiff::Zoned::now().date();
        let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
        let mut page = format!("# Drill: {}\n\n{}\n\n", self.drill, self.about);
        let _ = writeln!(
            page,
            "Written by `notify-me {command}` ({build} build) on {today}, {} {}, {cores} cores.\n",
            std::env::consts::OS,
            std::env::consts::ARCH,
        );
        if let Some(plot) = &self.plot {
            plot.draw(&directory.join(format!("{}.svg", self.drill)))?;
            let _ = writeln!(page, "![{}]({}.svg)\n", plot.title, self.drill);
        }
        let table = self.cells();
        for (number, row) in table.iter().enumerate() {
            let _ = writeln!(page, "| {} |", row.join(" | "));
            if number == 0 {
                let _ = writeln!(page, "|{}", "---|".repeat(row.len()));
            }
        }
        let _ = match self.failures.as_slice() {
            [] => writeln!(page, "\nEverything was as promised."),
            failures => writeln!(page, "\nNot as promised:\n\n- {}", failures.join("\n- ")),
        };
        std::fs::write(directory.join(format!("{}.md", self.drill)), page)?;
        Ok(())
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
    fn draw(&self, file: &Path) -> anyhow::Result<()> {
        let whole = |error: DrawingAreaErrorKind<_>| anyhow!("the plot cannot be drawn: {error}");
        let points = || self.lines.iter().flat_map(|(_, line)| line);
        let top = |pick: fn(&(f64, f64)) -> f64| points().map(pick).fold(0.0, f64::max).max(1.0) * 1.05;
        let area = SVGBackend::new(file, PLOT_SIZE).into_drawing_area();
        area.fill(&WHITE).map_err(whole)?;
        let mut chart = ChartBuilder::on(&area)
            .caption(self.title, ("sans-serif", 18))
            .margin(12)
            .x_label_area_size(40)
            .y_label_area_size(60)
            .build_cartesian_2d(0.0..top(|point| point.0), 0.0..top(|point| point.1))
            .map_err(whole)?;
        chart.configure_mesh().x_desc(self.x).y_desc(self.y).light_line_style(WHITE).draw().map_err(whole)?;
        for (number, (name, line)) in self.lines.iter().enumerate() {
            let colour = Palette99::pick(number).to_rgba();
            chart
                .draw_series(LineSeries::new(line.iter().copied(), colour.stroke_width(2)).point_size(2))
                .map_err(whole)?
                .label(name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
        }
        chart.configure_series_labels().border_style(BLACK).background_style(WHITE).draw().map_err(whole)?;
        area.present().map_err(whole)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_report_is_a_page_with_its_table_its_plot_and_what_failed() {
        let mut report = Report::new("kill", "About it.");
        report.row(vec![("killed", json!("after table PutItem")), ("lost", json!(0))]);
        report.demand(true, || unreachable!());
        report.demand(false, || "one was lost".to_owned());
        let lines = vec![("resend".to_owned(), vec![(1.0, 2.0), (2.0, 50.0)])];
        report.plot = Some(Plot { title: "In doubt", x: "request", y: "people", lines });
        let directory = tempfile::tempdir().unwrap();
        report.write(directory.path(), "drill kill").unwrap();
        let page = std::fs::read_to_string(directory.path().join("kill.md")).unwrap();
        assert!(page.contains("| killed | lost |\n|---|---|\n| after table PutItem | 0 |"), "{page}");
        assert!(page.contains("- one was lost") && page.contains("](kill.svg)"), "{page}");
        let plot = std::fs::read_to_string(directory.path().join("kill.svg")).unwrap();
        assert!(plot.starts_with("<svg") && plot.contains("In doubt"), "{plot}");
        assert!(report.text().contains("NOT as promised"));
    }
}
