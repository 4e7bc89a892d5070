//! Metrics as text, in the two formats scrapers read: Prometheus text 0.0.4 and OpenMetrics 1.0.

use std::fmt::Write as _;
use std::time::Duration;

use crate::rings::histogram::HistogramSnapshot;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Text,
    OpenMetrics,
}

impl Format {
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// A metric as both formats know it. `name` has no `_total` or `_info`: the writers add them.
pub struct Family {
    pub kind: Kind,
    pub name: &'static str,
    /// The name's last word, when that is a unit.
    pub unit: &'static str,
    pub help: &'static str,
    pub samples: Vec<Sample>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Gauge,
    Counter,
    Info,
    /// Samples come from [`Sample::of_histogram`].
    Histogram,
}

pub struct Sample {
    /// Of a histogram: `_bucket`, `_sum` or `_count`.
    part: &'static str,
    pub labels: Vec<(&'static str, String)>,
    pub value: f64,
}

impl Sample {
    /// With one label.
    pub fn new(label: &'static str, value: &str, count: f64) -> Self {
        Self::with(vec![(label, value.to_owned())], count)
    }

    pub fn with(labels: Vec<(&'static str, String)>, value: f64) -> Self {
        Self { part: "", labels, value }
    }

    /// All samples of a histogram: its buckets, cumulative and in order, then the rest.
    pub fn of_histogram(labels: &[(&'static str, &str)], times: &HistogramSnapshot) -> Vec<Self> {
        let labels: Vec<_> = labels.iter().map(|(name, value)| (*name, (*value).into())).collect();
        let part = |part, value| Self { part, labels: labels.clone(), value };
        let bucket = |bound: String, count: u64| {
            let mut bucket = part("_bucket", count as f64);
            bucket.labels.push(("le", bound));
            bucket
        };
        let mut samples: Vec<Self> =
            times.cumulative.iter().map(|(bound, count)| bucket(seconds(*bound), *count)).collect();
        samples.push(bucket("+Inf".to_owned(), times.count));
        samples.push(part("_sum", times.sum.as_secs_f64()));
        samples.push(part("_count", times.count as f64));
        samples
    }
}

/// All families in order; each is written once, so no name may appear twice.
pub fn write(families: &[Family], format: Format) -> String {
    let mut out = String::with_capacity(16 * 1024);
    for family in families {
        write_family(&mut out, family, format);
    }
    if format == Format::OpenMetrics {
        out.push_str("# EOF\n");
    }
    out
}

/// The formats differ in three points: in OpenMetrics the family of a counter is named without
/// `_total`, an info metric has its own type, and the unit is stated.
fn write_family(out: &mut String, family: &Family, format: Format) {
    let suffix = match family.kind {
        Kind::Gauge | Kind::Histogram => "",
        Kind::Counter => "_total",
        Kind::Info => "_info",
    };
    let (described_suffix, kind) = match (format, family.kind) {
        (Format::OpenMetrics, Kind::Info) => ("", "info"),
        (Format::OpenMetrics, Kind::Counter) => ("", "counter"),
        (Format::Text, Kind::Counter) => (suffix, "counter"),
        (_, Kind::Histogram) => ("", "histogram"),
        (_, Kind::Gauge) | (Format::Text, Kind::Info) => (suffix, "gauge"),
    };
    let described = format!("{}{described_suffix}", family.name);
    line(out, format_args!("# TYPE {described} {kind}"));
    if format == Format::OpenMetrics && !family.unit.is_empty() {
        line(out, format_args!("# UNIT {described} {}", family.unit));
    }
    // Help texts are ours: without backslash, quote or line end, which would have to be escaped.
    line(out, format_args!("# HELP {described} {}", family.help));
    for sample in &family.samples {
        let mut labels = String::new();
        for (name, value) in &sample.labels {
            let separator = if labels.is_empty() { '{' } else { ',' };
            labels.push_str(&format!("{separator}{name}=\"{}\"", escape(value)));
        }
        if !labels.is_empty() {
            labels.push('}');
        }
        let part = sample.part;
        line(out, format_args!("{}{suffix}{part}{labels} {}", family.name, sample.value));
    }
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    writeln!(out, "{text}").expect("writing to a string does not fail");
}

/// As a bound is written: `0.000025`, `1.0`.
fn seconds(bound: Duration) -> String {
    let seconds = bound.as_secs_f64();
    if seconds.fract() == 0.0 { format!("{seconds:.1}") } else { seconds.to_string() }
}

fn escape(label: &str) -> String {
    label.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_format_has_its_own_names_for_counters_infos_and_units() {
        let family =
            |kind, name, unit, samples| Family { kind, name, unit, help: "Text.", samples };
        let families = [
            family(Kind::Info, "a", "", vec![Sample::new("version", "1\"2", 1.0)]),
            family(Kind::Counter, "b", "", vec![Sample::with(Vec::new(), 7.0)]),
            family(Kind::Gauge, "c_seconds", "seconds", vec![Sample::new("x", "y", 0.5)]),
            family(Kind::Gauge, "d", "", Vec::new()),
        ];
        assert_eq!(
            write(&families, Format::Text),
            "# TYPE a_info gauge\n# HELP a_info Text.\na_info{version=\"1\\\"2\"} 1\n\
             # TYPE b_total counter\n# HELP b_total Text.\nb_total 7\n\
             # TYPE c_seconds gauge\n# HELP c_seconds Text.\nc_seconds{x=\"y\"} 0.5\n\
             # TYPE d gauge\n# HELP d Text.\n"
        );
        assert_eq!(
            write(&families, Format::OpenMetrics),
            "# TYPE a info\n# HELP a Text.\na_info{version=\"1\\\"2\"} 1\n\
             # TYPE b counter\n# HELP b Text.\nb_total 7\n\
             # TYPE c_seconds gauge\n# UNIT c_seconds seconds\n# HELP c_seconds Text.\n\
             c_seconds{x=\"y\"} 0.5\n\
             # TYPE d gauge\n# HELP d Text.\n# EOF\n"
        );
    }

    #[test]
    fn a_histogram_is_cumulative_and_ends_with_all() {
        let times = crate::rings::histogram::Histogram::default();
        times.record(std::time::Duration::from_millis(2));
        times.record(std::time::Duration::from_secs(60));
        let family = Family {
            kind: Kind::Histogram,
            name: "h_seconds",
            unit: "seconds",
            help: "Text.",
            samples: Sample::of_histogram(&[], &times.snapshot()),
        };
        let text = write(&[family], Format::Text);
        assert!(text.starts_with("# TYPE h_seconds histogram\n# HELP h_seconds Text.\n"));
        for line in [
            "h_seconds_bucket{le=\"0.001\"} 0\n",
            "h_seconds_bucket{le=\"0.0025\"} 1\n",
            "h_seconds_bucket{le=\"10.0\"} 1\n",
            "h_seconds_bucket{le=\"+Inf\"} 2\nh_seconds_sum 60.002\nh_seconds_count 2\n",
        ] {
            assert!(text.contains(line), "{line}{text}");
        }
    }

    #[test]
    fn a_histogram_with_labels_has_its_bound_last_and_each_set_whole() {
        let mut times = gopool_shards::tally::Times::default();
        times.record(Duration::from_micros(20), 3);
        let samples = ["0", "1"]
            .iter()
            .flat_map(|id| Sample::of_histogram(&[("shard", id)], &(&times).into()))
            .collect();
        let (name, help) = ("h_seconds", "Text.");
        let family = Family { kind: Kind::Histogram, name, unit: "seconds", help, samples };
        let text = write(&[family], Format::OpenMetrics);
        for line in [
            "h_seconds_bucket{shard=\"0\",le=\"0.000025\"} 3\n",
            "h_seconds_bucket{shard=\"0\",le=\"1.0\"} 3\n",
            "h_seconds_bucket{shard=\"0\",le=\"+Inf\"} 3\nh_seconds_sum{shard=\"0\"} 0.00006\n\
             h_seconds_count{shard=\"0\"} 3\nh_seconds_bucket{shard=\"1\",le=\"0.000025\"} 3\n",
        ] {
            assert!(text.contains(line), "{line}{text}");
        }
    }

    #[test]
    fn labels_are_escaped() {
        assert_eq!(escape("a\\b\"c\nd"), "a\\\\b\\\"c\\nd");
    }
}
