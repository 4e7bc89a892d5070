//! Curves of measured figures, as SVG.

use std::path::Path;

use plotters::prelude::*;

/// One line of a plot: its name and its points.
#[derive(Clone, Debug)]
pub struct Curve {
    pub name: String,
    pub points: Vec<(f64, f64)>,
}

/// What a plot says.
#[derive(Clone, Debug)]
pub struct Plot {
    pub title: &'static str,
    pub across: &'static str,
    pub up: &'static str,
    pub curves: Vec<Curve>,
}

const SIZE: (u32, u32) = (640, 400);
const COLOURS: [RGBColor; 3] =
    [RGBColor(200, 80, 20), RGBColor(70, 100, 140), RGBColor(90, 140, 70)];

impl Plot {
    /// Draws it into a file; both axes start at zero, so that what grows is seen to grow.
    ///
    /// Errors: what the file system or the library says.
    pub fn draw(&self, path: &Path) -> Result<(), Box<dyn std::error::Error>> {
        let points = || self.curves.iter().flat_map(|curve| &curve.points);
        let across = points().map(|(x, _)| *x).fold(1.0, f64::max) * 1.05;
        let up = points().map(|(_, y)| *y).fold(0.0, f64::max).max(1e-9) * 1.15;
        let area = SVGBackend::new(path, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .caption(self.title, ("sans-serif", 18))
            .margin(12)
            .x_label_area_size(40)
            .y_label_area_size(60)
            .build_cartesian_2d(0.0..across, 0.0..up)?;
        chart
            .configure_mesh()
            .x_desc(self.across)
            .y_desc(self.up)
            .light_line_style(TRANSPARENT)
            .draw()?;
        for (curve, colour) in self.curves.iter().zip(COLOURS) {
            chart
                .draw_series(LineSeries::new(curve.points.clone(), colour.stroke_width(2)))?
                .label(&curve.name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour));
            chart.draw_series(
                curve.points.iter().map(|point| Circle::new(*point, 4, colour.filled())),
            )?;
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .background_style(WHITE)
            .border_style(BLACK.mix(0.3))
            .draw()?;
        area.present()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plot_has_its_title_and_a_mark_for_each_point() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("plot.svg");
        let curve = |name: &str| Curve { name: name.into(), points: vec![(1.0, 2.0), (3.0, 5.0)] };
        let plot = Plot {
            title: "Time of a share",
            across: "connections",
            up: "µs",
            curves: vec![curve("pool"), curve("floor")],
        };
        plot.draw(&path).expect("drawn");
        let svg = std::fs::read_to_string(&path).expect("a file");
        assert!(svg.contains("Time of a share"));
        assert_eq!(svg.matches("<circle").count(), 4);
    }
}
