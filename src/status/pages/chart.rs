//! A day of hashrate and best shares, drawn here so that it is there without JavaScript, with the
//! words and the table that stand for it (`web.md` §4.3).

use std::fmt::Write as _;

use jiff::Timestamp;
use serde::Serialize;

use crate::history::CompactSeries;
use crate::status::format;

/// The drawing's own units.
const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 240.0;
/// Columns of the drawing: more than a phone has pixels for.
const COLUMNS: u32 = 288;
/// What has just begun is drawn over so many buckets: one is no picture.
const SPAN_MIN: u32 = 60;
/// Rows of the table: one an hour.
const ROWS: u32 = 24;
/// Room above the highest value.
const HEADROOM: f64 = 1.25;
const GRID_LINES: u32 = 5;

/// A series, drawn.
#[derive(Clone, Debug, Serialize)]
pub struct Chart {
    width: f64,
    height: f64,
    /// Path of the hashrate's area; best shares are short strokes.
    area: String,
    strokes: String,
    grid: Vec<GridLine>,
    hours: Vec<Hour>,
    summary: Summary,
    /// Newest first.
    rows: Vec<Row>,
}

/// What is to be seen, for a sentence.
#[derive(Clone, Debug, Serialize)]
struct Summary {
    covered: String,
    mean: String,
    highest: Option<Top>,
    best: Option<Top>,
}

#[derive(Clone, Debug, Serialize)]
struct Top {
    value: String,
    /// RFC 3339, and as a clock shows it.
    time: String,
    clock: String,
}

#[derive(Clone, Debug, Serialize)]
struct GridLine {
    y: f64,
    hashrate: String,
    difficulty: String,
}

#[derive(Clone, Debug, Serialize)]
struct Hour {
    x: f64,
    /// `15:00`, UTC.
    text: String,
    /// RFC 3339, for the reader's zone.
    time: String,
}

#[derive(Clone, Debug, Serialize)]
struct Row {
    time: String,
    hashrate: f64,
    best: f64,
}

/// What is known of one bucket.
#[derive(Clone, Copy)]
struct Point {
    bucket: u32,
    hashrate: f64,
    best: f64,
}

impl Chart {
    /// None when no share was recorded.
    pub fn of(series: &CompactSeries) -> Option<Self> {
        let points: Vec<Point> = series
            .points()
            .map(|(bucket, hashrate, best)| Point { bucket, hashrate, best })
            .collect();
        let (first, last) = (points.first()?, points.last()?);
        // A pool to which nobody has come has nothing to draw.
        points.iter().find(|point| point.hashrate > 0.0 || point.best > 0.0)?;
        let from = first.bucket.min(series.count.saturating_sub(SPAN_MIN));
        let span = f64::from(last.bucket - from + 1);
        let top = |of: fn(&Point) -> f64| {
            let highest = points.iter().map(of).fold(0.0, f64::max);
            if highest > 0.0 { highest * HEADROOM } else { 1.0 }
        };
        let (hash_top, best_top) = (top(|point| point.hashrate), top(|point| point.best));
        let x = |bucket: u32| f64::from(bucket - from) / span * WIDTH;
        let y = |value: f64, top: f64| HEIGHT - value / top * HEIGHT;
        let columns = columns(&points, from, span);
        let start = |bucket: u32| {
            let minute = i64::from(series.start_minute);
            let second = minute * 60 + i64::from(bucket) * i64::from(series.bucket_seconds);
            Timestamp::from_second(second).unwrap_or(Timestamp::UNIX_EPOCH)
        };
        let mut area = String::new();
        let mut strokes = String::new();
        let column_width = WIDTH / f64::from(COLUMNS).min(span);
        // A run ends where its last column does: one alone is a bar.
        let end = |column: &Point| {
            let (right, height) = (x(column.bucket) + column_width, y(column.hashrate, hash_top));
            format!("L{right:.1} {height:.1}V{HEIGHT}Z")
        };
        let mut before: Option<&Point> = None;
        for column in &columns {
            let (left, height) = (x(column.bucket), y(column.hashrate, hash_top));
            // A gap is a gap: nothing is known of what has not been recorded.
            let is_gap = before.is_none_or(|before| left - x(before.bucket) > 3.0 * column_width);
            if is_gap {
                area.extend(before.map(end));
                let _ = write!(area, "M{left:.1} {HEIGHT}");
            }
            let _ = write!(area, "L{left:.1} {height:.1}");
            if column.best > 1.0 {
                let _ =
                    write!(strokes, "M{left:.1} {:.1}h{column_width:.1}", y(column.best, best_top));
            }
            before = Some(column);
        }
        area.extend(before.map(end));
        Some(Self {
            width: WIDTH,
            height: HEIGHT,
            area,
            strokes,
            grid: (1..GRID_LINES)
                .map(|line| {
                    let part = f64::from(line) / f64::from(GRID_LINES);
                    GridLine {
                        y: HEIGHT - part * HEIGHT,
                        hashrate: format::hashrate_short(part * hash_top),
                        difficulty: format::difficulty_short(part * best_top),
                    }
                })
                .collect(),
            hours: hours(from, last.bucket, series.bucket_seconds, x, start),
            summary: Summary::new(&points, series.bucket_seconds, start),
            rows: rows(&points, start),
        })
    }
}

/// A day of hashrate in a hundred columns, for a row of a table: the path of an area that is 100 wide
/// and 24 high.
pub fn spark(series: &CompactSeries) -> String {
    const COLUMNS: usize = 100;
    const HEIGHT: f64 = 24.0;
    let mut columns = [0.0_f64; COLUMNS];
    for (bucket, hashrate, _) in series.points() {
        let column = bucket as usize * COLUMNS / series.count.max(1) as usize;
        let column = &mut columns[column.min(COLUMNS - 1)];
        *column = column.max(hashrate);
    }
    let top = columns.iter().copied().fold(0.0, f64::max);
    let mut path = format!("M0 {HEIGHT}");
    for (x, value) in columns.iter().enumerate() {
        let y = if top > 0.0 { HEIGHT - value / top * (HEIGHT - 1.0) } else { HEIGHT };
        let _ = write!(path, "L{x} {y:.1}");
    }
    let _ = write!(path, "L{COLUMNS} {HEIGHT}Z");
    path
}

/// The highest of each column, so that nothing that stood out is lost.
fn columns(points: &[Point], from: u32, span: f64) -> Vec<Point> {
    let mut columns: Vec<Point> = Vec::new();
    let place = |bucket: u32| (f64::from(bucket - from) / span * f64::from(COLUMNS)) as u32;
    let mut last = None;
    for point in points {
        let this = Some(place(point.bucket));
        match columns.last_mut() {
            Some(column) if last == this => {
                column.hashrate = column.hashrate.max(point.hashrate);
                column.best = column.best.max(point.best);
            }
            _ => columns.push(*point),
        }
        last = this;
    }
    columns
}

/// Every third hour of the clock that is inside.
fn hours(
    first: u32,
    last: u32,
    bucket_seconds: u32,
    x: impl Fn(u32) -> f64,
    start: impl Fn(u32) -> Timestamp,
) -> Vec<Hour> {
    let every = 3 * 3600;
    let on_the_hour = |bucket: &u32| start(*bucket).as_second() % every < i64::from(bucket_seconds);
    (first..=last)
        .filter(on_the_hour)
        .map(|bucket| {
            let time = start(bucket);
            Hour { x: x(bucket), text: time.strftime("%H:%M").to_string(), time: time.to_string() }
        })
        .collect()
}

impl Summary {
    fn new(points: &[Point], bucket_seconds: u32, start: impl Fn(u32) -> Timestamp) -> Self {
        let mean = points.iter().map(|point| point.hashrate).sum::<f64>() / points.len() as f64;
        let covered = points.len() as u64 * u64::from(bucket_seconds);
        let top = |of: fn(&Point) -> f64, words: fn(f64) -> String| {
            let point = points.iter().max_by(|a, b| of(a).total_cmp(&of(b)))?;
            let time = start(point.bucket);
            let clock = time.strftime("%H:%M UTC").to_string();
            (of(point) > 0.0).then(|| Top {
                value: words(of(point)),
                time: time.to_string(),
                clock,
            })
        };
        Self {
            covered: format::span(std::time::Duration::from_secs(covered)),
            mean: format::hashrate(mean),
            highest: top(|point| point.hashrate, format::hashrate),
            best: top(|point| point.best, format::difficulty),
        }
    }
}

fn rows(points: &[Point], start: impl Fn(u32) -> Timestamp) -> Vec<Row> {
    let mut rows: Vec<(i64, Vec<Point>)> = Vec::new();
    for point in points {
        let hour = start(point.bucket).as_second() / 3600;
        match rows.last_mut() {
            Some((this, points)) if *this == hour => points.push(*point),
            _ => rows.push((hour, vec![*point])),
        }
    }
    let rows = rows.into_iter().rev().take(ROWS as usize + 1).map(|(hour, points)| Row {
        time: Timestamp::from_second(hour * 3600).unwrap_or(Timestamp::UNIX_EPOCH).to_string(),
        hashrate: points.iter().map(|point| point.hashrate).sum::<f64>() / points.len() as f64,
        best: points.iter().map(|point| point.best).fold(0.0, f64::max),
    });
    rows.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{POOL_KEY, Resolution};
    use crate::status::sample;

    #[test]
    fn a_day_has_a_drawing_a_sentence_and_a_table() {
        let history = sample::history();
        let minute = u32::try_from(
            sample::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() / 60,
        )
        .unwrap();
        let series = history.read().compact(Resolution::Minute, POOL_KEY, minute).unwrap();
        let chart = Chart::of(&series).expect("something was recorded");
        assert!(chart.area.starts_with('M') && chart.area.ends_with('Z'));
        assert!(!chart.area.contains("NaN") && !chart.area.contains("inf"));
        assert!(chart.summary.highest.is_some() && chart.summary.mean.ends_with("H/s"));
        assert!(!chart.rows.is_empty() && chart.rows.len() <= 25);
        assert_eq!(chart.grid.len(), 4);
    }

    /// The area of these buckets, all of the same hashrate.
    fn area(buckets: &[u32]) -> String {
        let mut series = CompactSeries::of(None, Resolution::Minute, 10_000);
        (series.hashrate_min, series.hashrate_max) = (1e12, 1e12);
        for bucket in buckets {
            series.present[*bucket as usize / 8] |= 1 << (bucket % 8);
        }
        Chart::of(&series).expect("something is known").area
    }

    #[test]
    fn one_minute_is_to_be_seen_and_a_gap_too() {
        // One of sixty, at the right; then the whole width, and each run as wide as its minutes.
        assert_eq!(area(&[1439]), "M944.0 240L944.0 48.0L960.0 48.0V240Z");
        let hour: Vec<u32> = (1380..1440).filter(|bucket| !(1382..1436).contains(bucket)).collect();
        assert_eq!(
            area(&hour),
            "M0.0 240L0.0 48.0L16.0 48.0L32.0 48.0V240Z\
             M896.0 240L896.0 48.0L912.0 48.0L928.0 48.0L944.0 48.0L960.0 48.0V240Z"
        );
    }

    #[test]
    fn of_nothing_there_is_no_drawing() {
        assert!(Chart::of(&CompactSeries::of(None, Resolution::Minute, 1440)).is_none());
    }
}
