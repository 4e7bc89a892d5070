use std::collections::{BTreeMap, HashMap, HashSet};

use super::*;
use crate::status::sample;

fn text(snapshot: &crate::snapshot::Snapshot, format: Format) -> String {
    render(&Server::new(snapshot), format)
}

/// A strict reader: descriptions precede samples, families are not interleaved or repeated,
/// every sample belongs to the family above it, no series appears twice, histograms add up.
fn read(text: &str, format: Format) -> HashMap<String, f64> {
    let body = match format {
        Format::OpenMetrics => text.strip_suffix("# EOF\n").expect("ends in EOF"),
        Format::Text => text,
    };
    assert!(body.ends_with('\n') && !body.contains("\n\n") && !body.contains('\r'));
    let mut described: HashSet<String> = HashSet::new();
    let mut series = HashMap::new();
    let mut histograms: HashMap<(String, String), Histogram> = HashMap::new();
    let (mut family, mut kind) = (String::new(), String::new());
    for line in body.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            let [keyword, name, rest] =
                comment.splitn(3, ' ').collect::<Vec<_>>().try_into().expect("three parts");
            match keyword {
                "TYPE" => {
                    assert!(described.insert(name.to_owned()), "{name} twice");
                    (family, kind) = (name.to_owned(), rest.to_owned());
                }
                "UNIT" => {
                    assert_eq!(format, Format::OpenMetrics);
                    assert!(name == family && name.ends_with(&format!("_{rest}")), "{line}");
                }
                "HELP" => assert!(name == family && !rest.is_empty(), "{line}"),
                _ => panic!("{line}"),
            }
            continue;
        }
        let (key, value) = line.rsplit_once(' ').expect("a value");
        let name = key.split('{').next().unwrap();
        let expected = match (format, kind.as_str()) {
            (Format::OpenMetrics, "counter") => format!("{family}_total"),
            (Format::OpenMetrics, "info") => format!("{family}_info"),
            (Format::Text, "counter") => {
                assert!(family.ends_with("_total"), "{family}");
                family.clone()
            }
            (_, "histogram") => {
                let part = name.strip_prefix(&*family).expect("a part of it");
                let (labels, bound) = without_bound(&key[name.len()..]);
                let value: f64 = value.parse().unwrap();
                let histogram = histograms.entry((family.clone(), labels)).or_default();
                match (part, bound) {
                    ("_bucket", Some(bound)) => histogram.bucket(bound, value),
                    ("_sum", None) => assert!(histogram.sum.replace(value).is_none()),
                    ("_count", None) => assert!(histogram.count.replace(value).is_none()),
                    _ => panic!("{line}"),
                }
                name.to_owned()
            }
            _ => family.clone(),
        };
        assert_eq!(name, expected);
        assert!(name.starts_with("gopool_"));
        assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'));
        let value: f64 = value.parse().expect("a number");
        assert!(value.is_finite() && value >= 0.0, "{line}");
        assert!(series.insert(key.to_owned(), value).is_none(), "{key} twice");
    }
    for (name, histogram) in histograms {
        histogram.check(&format!("{name:?}"));
    }
    series
}

/// One histogram as it has been read, of one set of labels.
#[derive(Default)]
struct Histogram {
    buckets: Vec<(f64, f64)>,
    sum: Option<f64>,
    count: Option<f64>,
}

impl Histogram {
    fn bucket(&mut self, bound: &str, count: f64) {
        let bound = if bound == "+Inf" { f64::INFINITY } else { bound.parse().expect("a bound") };
        assert!(self.sum.is_none() && self.count.is_none(), "buckets come first");
        self.buckets.push((bound, count));
    }

    #[track_caller]
    fn check(&self, name: &str) {
        assert!(
            self.buckets.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1),
            "{name}: {:?}",
            self.buckets
        );
        let last = *self.buckets.last().expect("it has buckets");
        let count = self.count.expect("it has a count");
        assert_eq!(last, (f64::INFINITY, count), "{name}");
        let sum = self.sum.expect("it has a sum");
        assert_eq!(sum > 0.0, count > 0.0, "{name}");
    }
}

/// Labels without `le`, and what that says.
fn without_bound(labels: &str) -> (String, Option<&str>) {
    let Some((before, rest)) = labels.split_once("le=\"") else {
        return (labels.to_owned(), None);
    };
    let bound = rest.strip_suffix("\"}").expect("the bound comes last");
    let others = before.trim_end_matches([',', '{']);
    (if others.is_empty() { String::new() } else { format!("{others}}}") }, Some(bound))
}

#[test]
#[should_panic(expected = "h_seconds")]
fn the_reader_refuses_a_histogram_that_does_not_add_up() {
    let text = "# TYPE gopool_h_seconds histogram\n# HELP gopool_h_seconds Text.\n\
                gopool_h_seconds_bucket{le=\"1.0\"} 2\ngopool_h_seconds_bucket{le=\"+Inf\"} 3\n\
                gopool_h_seconds_sum 4\ngopool_h_seconds_count 4\n";
    read(text, Format::Text);
}

/// What `documentation/metrics.md` has: by name, the type and the labels.
fn documented() -> BTreeMap<String, (String, Vec<String>)> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/documentation/metrics.md");
    let page = std::fs::read_to_string(path).unwrap();
    let mut metrics = BTreeMap::new();
    for row in page.lines().filter(|line| line.starts_with("| `gopool_")) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [name, kind, labels, meaning] = cells.try_into().expect("four cells");
        assert!(!meaning.is_empty(), "{name}");
        let labels = labels.split(", ").map(|label| label.trim_matches('`').to_owned());
        let labels = labels.filter(|label| !label.is_empty()).collect();
        let described = (kind.to_owned(), labels);
        assert!(metrics.insert(name.trim_matches('`').to_owned(), described).is_none(), "{name}");
    }
    metrics
}

#[test]
fn every_metric_is_documented_and_nothing_else_is() {
    let families = families(&Server::new(&sample::busy()));
    let mut metrics = BTreeMap::new();
    let documented = documented();
    for Family { kind, name, samples, .. } in families {
        let (suffix, kind) = match kind {
            Kind::Gauge => ("", "gauge"),
            Kind::Counter => ("_total", "counter"),
            Kind::Info => ("_info", "info"),
            Kind::Histogram => ("", "histogram"),
        };
        let name = format!("{name}{suffix}");
        let first = samples.first().unwrap_or_else(|| panic!("the sample has no {name}"));
        let labels = first.labels.iter().map(|(label, _)| (*label).to_owned());
        metrics.insert(name, (kind.to_owned(), labels.filter(|label| label != "le").collect()));
    }
    for (name, described) in &metrics {
        assert_eq!(documented.get(name), Some(described), "{name} in documentation/metrics.md");
    }
    for name in documented.keys() {
        assert!(metrics.contains_key(name), "documentation/metrics.md: there is no {name}");
    }
}

/// Whatever miners and workers there are, there are no more series.
#[test]
fn labels_have_few_values() {
    let series = read(&text(&sample::busy(), Format::Text), Format::Text);
    let mut values: BTreeMap<&str, HashSet<&str>> = BTreeMap::new();
    for labels in series.keys().filter_map(|key| key.split_once('{')) {
        for label in labels.1.trim_end_matches('}').split(',') {
            let (name, value) = label.split_once('=').unwrap();
            values.entry(name).or_default().insert(value);
        }
    }
    let names: Vec<_> = values.keys().copied().collect();
    let expected = [
        "channel",
        "le",
        "method",
        "network",
        "reason",
        "result",
        "shard",
        "state",
        "transport",
        "version",
    ];
    assert_eq!(names, expected);
    assert_eq!(
        (values["shard"].len(), values["state"].len(), values["transport"].len()),
        (3, 3, 2)
    );
}

#[test]
fn both_texts_are_well_formed_and_say_the_same() {
    for snapshot in [sample::empty(), sample::busy()] {
        let [plain, open] = [Format::Text, Format::OpenMetrics]
            .map(|format| read(&text(&snapshot, format), format));
        assert_eq!(plain, open);
        assert!(plain.len() > 30);
    }
}

#[test]
fn the_values_are_those_of_the_snapshot() {
    let series = read(&text(&sample::busy(), Format::OpenMetrics), Format::OpenMetrics);
    for (key, value) in [
        ("gopool_build_info{version=\"0.1.0\",network=\"mainnet\"}", 1.0),
        ("gopool_uptime_seconds", 273_906.0),
        ("gopool_shares_accepted_total", 1_284_402.0),
        ("gopool_shares_rejected_total{reason=\"stale job\"}", 312.0),
        ("gopool_shard_connections{shard=\"2\"}", 7.0),
        ("gopool_job_height", 934_218.0),
        ("gopool_job_built_timestamp_seconds", 1_769_889_290.0),
        ("gopool_process_cpu_ratio", 0.03214),
        ("gopool_share_answer_seconds_bucket{le=\"0.00005\"}", 1_284_000.0),
        ("gopool_share_answer_seconds_count", 1_284_760.0),
        ("gopool_work_first_notify_seconds_bucket{le=\"0.0025\"}", 3.0),
        ("gopool_work_last_miner_seconds_sum{shard=\"1\"}", 0.0092),
        ("gopool_block_submit_seconds_count", 1.0),
        ("gopool_rpc_seconds_bucket{method=\"getblocktemplate\",le=\"0.025\"}", 1.0),
        ("gopool_rpc_errors_total{method=\"submitblock\"}", 1.0),
        ("gopool_connections{state=\"authorized\",transport=\"tls\"}", 3.0),
        ("gopool_job_age_seconds", 12.0),
        ("gopool_node_healthy", 1.0),
        ("gopool_node_blocks_behind", 0.0),
        ("gopool_parked_shares", 612.0),
        ("gopool_notices_total{channel=\"ntfy\",result=\"delivered\"}", 4.0),
        ("gopool_notices_total{channel=\"ntfy\",result=\"failed\"}", 1.0),
        ("gopool_notices_waiting{channel=\"ntfy\"}", 0.0),
        ("gopool_shard_receive_starved_total{shard=\"2\"}", 2.0),
        ("gopool_shard_submissions_judged_total{shard=\"0\"}", 428_253.0),
    ] {
        assert_eq!(series.get(key), Some(&value), "{key}");
    }
}

#[test]
fn what_does_not_exist_yet_has_no_sample() {
    let series = read(&text(&sample::empty(), Format::Text), Format::Text);
    assert!(!series.keys().any(|key| key.contains("job_") || key.contains("tip_")));
}

#[test]
fn no_text_tells_who_mines() {
    let text = text(&sample::busy(), Format::Text);
    for word in ["bc1q", "garage", "worker=", "10.0.0.7"] {
        assert!(!text.contains(word), "{word}");
    }
}
