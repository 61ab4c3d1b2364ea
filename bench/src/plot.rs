//! The figures as a picture: every bar relative to its goal, whiskers from the lowest to the highest round.

use std::path::Path;

use anyhow::anyhow;
use plotters::prelude::*;

use crate::{goal::GOALS, report::Finding};

const WIDTH: u32 = 1000;
const BAR_HEIGHT: u32 = 32;
const CURVE_HEIGHT: u32 = 420;
/// Bars end here: what is three times as good as asked needs no longer one.
const REACHED_MAX: f64 = 3.0;

/// A line through points, in a file of its own.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Curve {
    /// The file's name without its end.
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    /// What the axes count.
    pub(crate) across: &'static str,
    pub(crate) up: &'static str,
    pub(crate) points: Vec<(f64, f64)>,
}

struct Bar {
    label: String,
    low: f64,
    median: f64,
    high: f64,
}

/// Draws an SVG file.
pub(crate) fn draw(path: &Path, findings: &[Finding]) -> anyhow::Result<()> {
    let bars = bars(findings);
    let rows = u32::try_from(bars.len())?;
    let area = SVGBackend::new(path, (WIDTH, 110 + rows * BAR_HEIGHT)).into_drawing_area();
    paint(&area, &bars).map_err(|error| anyhow!("cannot draw {}: {error}", path.display()))
}

/// Draws an SVG file of one line, beside which a thin one marks as much for as much.
pub(crate) fn draw_curve(path: &Path, curve: &Curve) -> anyhow::Result<()> {
    let area = SVGBackend::new(path, (WIDTH, CURVE_HEIGHT)).into_drawing_area();
    paint_curve(&area, curve).map_err(|error| anyhow!("cannot draw {}: {error}", path.display()))
}

fn bars(findings: &[Finding]) -> Vec<Bar> {
    let found = GOALS.iter().filter_map(|goal| Some((goal, findings.iter().find(|found| found.goal == goal.id)?)));
    let bar = found.map(|(goal, found)| {
        let reached = |value| goal.reached(value).min(REACHED_MAX);
        let (low, high) = (reached(found.value.low), reached(found.value.high));
        Bar {
            label: format!("{} ({})", goal.id, goal.bound_text()),
            low: low.min(high),
            median: reached(found.value.median),
            high: low.max(high),
        }
    });
    bar.collect()
}

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

fn paint(area: &Area<'_>, bars: &[Bar]) -> Result<(), Box<dyn std::error::Error>> {
    area.fill(&WHITE)?;
    let rows = i32::try_from(bars.len())?;
    let mut chart = ChartBuilder::on(area)
        .caption("Reached, relative to the goal (1 = just met, more is better)", ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(32)
        .y_label_area_size(260)
        .build_cartesian_2d(0.0..REACHED_MAX, (0..rows).into_segmented())?;
    let label = |position: &SegmentValue<i32>| match position {
        SegmentValue::CenterOf(row) => usize::try_from(*row).ok().and_then(|row| bars.get(row)),
        _ => None,
    };
    chart
        .configure_mesh()
        .disable_y_mesh()
        .y_labels(bars.len().max(1))
        .y_label_formatter(&|position| label(position).map_or_else(String::new, |bar| bar.label.clone()))
        .draw()?;
    for (row, bar) in (0..rows).zip(bars) {
        let color = if bar.median >= 1.0 { RGBColor(46, 125, 50) } else { RGBColor(198, 40, 40) };
        let (from, to) = (SegmentValue::Exact(row), SegmentValue::Exact(row + 1));
        let mut shape = Rectangle::new([(0.0, from), (bar.median, to)], color.mix(0.6).filled());
        shape.set_margin(6, 6, 0, 0);
        chart.draw_series([shape])?;
        let middle = SegmentValue::CenterOf(row);
        chart
            .draw_series([PathElement::new([(bar.low, middle.clone()), (bar.high, middle)], BLACK.stroke_width(2))])?;
    }
    let line = [(1.0, SegmentValue::Exact(0)), (1.0, SegmentValue::Last)];
    chart.draw_series([PathElement::new(line, BLACK.stroke_width(1))])?;
    area.present()?;
    Ok(())
}

fn paint_curve(area: &Area<'_>, curve: &Curve) -> Result<(), Box<dyn std::error::Error>> {
    area.fill(&WHITE)?;
    let most = |side: fn(&(f64, f64)) -> f64| curve.points.iter().map(side).fold(1.0, f64::max);
    let (right, top) = (most(|point| point.0), most(|point| point.1) * 1.1);
    let mut chart = ChartBuilder::on(area)
        .caption(curve.title, ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(50)
        .build_cartesian_2d(0.0..right, 0.0..top)?;
    chart.configure_mesh().x_desc(curve.across).y_desc(curve.up).draw()?;
    let as_much = right.min(top);
    let reference = PathElement::new([(0.0, 0.0), (as_much, as_much)], BLACK.mix(0.4).stroke_width(1));
    chart.draw_series([reference])?;
    chart.draw_series([PathElement::new(curve.points.clone(), RGBColor(46, 125, 50).stroke_width(2))])?;
    area.present()?;
    Ok(())
}
