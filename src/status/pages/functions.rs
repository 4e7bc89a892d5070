//! What templates can do with a value: the formats of `web.md` §5, and figures that stay fresh.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use minijinja::value::Value;
use minijinja::{Environment, Error, ErrorKind, Output, State};

use crate::status::assets::Assets;
use crate::status::format;

pub fn add(templates: &mut Environment<'static>, assets: &Assets) {
    for (name, file) in [
        ("css_url", "app.css"),
        ("theme_js_url", "theme.js"),
        ("js_url", "app.js"),
        ("chart_js_url", "chart.js"),
        ("lookup_js_url", "lookup.js"),
        ("discord_js_url", "discord.js"),
        ("admin_js_url", "admin.js"),
        ("clerk_js_url", "clerk.js"),
        ("uplot_js_url", "uplot.js"),
        ("uplot_css_url", "uplot.css"),
    ] {
        templates.add_global(name, assets.url(file));
    }
    templates.set_formatter(write_escaped);
    templates.add_function("live", live);
    templates.add_filter("age", age);
    templates.add_filter("until", until);
    templates.add_filter("when", when);
    templates.add_filter("integer", |value: Value| number(&value, "integer"));
    templates.add_filter("hashrate", |value: Value| number(&value, "hashrate"));
    templates.add_filter("difficulty", |value: Value| number(&value, "difficulty"));
    templates.add_filter("rate", |value: Value| number(&value, "rate"));
    templates.add_filter("percent", |value: Value| number(&value, "percent"));
    templates.add_filter("bytes", |value: Value| number(&value, "bytes"));
    templates.add_filter("milliseconds", |value: Value| number(&value, "milliseconds"));
    templates.add_filter("latency", |value: Value| number(&value, "latency"));
    templates.add_filter("load", |value: Value| number(&value, "load"));
    templates.add_filter("nanoseconds", |value: Value| number(&value, "nanoseconds"));
    templates.add_filter("bitcoin", |value: Value| number(&value, "bitcoin"));
    templates.add_filter("difficulty_exact", |value: Value| number(&value, "difficulty_exact"));
    templates.add_filter("fiat", fiat);
    templates.add_filter("coins", |value: Value| {
        number(&value, "bitcoin").map(|text| text.replace(" BTC", ""))
    });
}

/// A dash for what is not there.
fn number(value: &Value, kind: &str) -> Result<String, Error> {
    if value.is_undefined() || value.is_none() {
        return Ok(format::NOTHING.to_owned());
    }
    let float = || f64::try_from(value.clone());
    let whole = || u64::try_from(value.clone());
    Ok(match kind {
        "integer" => format::integer(whole()?),
        "hashrate" => format::hashrate(float()?),
        "rate" => format::rate(float()?),
        "difficulty" => format::difficulty(float()?),
        "difficulty_exact" => format::difficulty_exact(float()?),
        "bitcoin" => format::bitcoin(whole()?),
        "percent" => format::percent(float()?),
        "bytes" => format::bytes(whole()?),
        "milliseconds" => format::latency(float()?),
        "latency" => format::short_latency(float()?),
        "load" => format!("{:.2}", float()?),
        "nanoseconds" => format::uptime(Duration::from_nanos(whole()?)),
        _ => return Err(Error::new(ErrorKind::InvalidOperation, "no such kind of figure")),
    })
}

/// `live("pool_hashrate", "hashrate")`: one of the headline figures, with the attributes by which
/// `web/app.js` finds it when `/api/events` tells a newer one.
fn live(state: &State<'_, '_>, name: &str, kind: &str) -> Result<Value, Error> {
    let figures = state.lookup("figures").unwrap_or_default();
    let text = number(&figures.get_attr(name)?, kind)?;
    let html = format!("<span data-live=\"{name}\" data-kind=\"{kind}\">{text}</span>");
    Ok(Value::from_safe_string(html))
}

/// What so many satoshi cost; nothing while no price is known, and of nothing.
fn fiat(state: &State<'_, '_>, sats: Value) -> Result<String, Error> {
    let frame = state.lookup("frame").unwrap_or_default();
    let price = frame.get_attr("price")?;
    if price.is_none() || price.is_undefined() || sats.is_none() || sats.is_undefined() {
        return Ok(String::new());
    }
    let (sats, value) = (u64::try_from(sats)?, f64::try_from(price.get_attr("value")?)?);
    let currency = price.get_attr("currency")?.to_string();
    Ok(if sats == 0 { String::new() } else { format::fiat(sats, value, &currency) })
}

/// How long ago that was when the page was made; a dash for never. The browser counts on.
fn age(state: &State<'_, '_>, time: Option<String>) -> Value {
    of_time(state, time, "age", format::ago)
}

/// How long until then.
fn until(state: &State<'_, '_>, time: Option<String>) -> Value {
    of_time(state, time, "until", format::ahead)
}

fn of_time(
    state: &State<'_, '_>,
    time: Option<String>,
    kind: &str,
    words: fn(SystemTime, SystemTime) -> String,
) -> Value {
    let frame = state.lookup("frame").unwrap_or_default();
    let now = frame.get_attr("as_of").ok().and_then(|now| now.as_str().and_then(parse));
    let then = time.as_deref().and_then(|time| Some((time, parse(time)?)));
    let (Some((time, then)), Some(now)) = (then, now) else {
        return Value::from(format::NOTHING);
    };
    let (text, utc) = (words(then, now), format::utc(then));
    Value::from_safe_string(format!(
        "<time datetime=\"{time}\" data-{kind} title=\"{utc}\">{text}</time>"
    ))
}

/// A moment in UTC, which the browser shows in the reader's zone.
fn when(time: Option<String>) -> Value {
    let Some((time, then)) = time.as_deref().and_then(|time| Some((time, parse(time)?))) else {
        return Value::from(format::NOTHING);
    };
    let utc = format::utc(then);
    Value::from_safe_string(format!("<time datetime=\"{time}\" data-when>{utc}</time>"))
}

fn parse(text: &str) -> Option<SystemTime> {
    text.parse::<jiff::Timestamp>().ok().map(SystemTime::from)
}

/// Escapes everything that is not markup of ours. minijinja's own escaping writes `/` as an entity,
/// which no HTML needs and which makes every address in a page hard to read.
fn write_escaped(out: &mut Output<'_>, _: &State<'_, '_>, value: &Value) -> Result<(), Error> {
    if value.is_undefined() || value.is_none() {
        return Ok(());
    }
    let text = value.to_string();
    if value.is_safe() {
        return out.write_str(&text).map_err(Error::from);
    }
    for c in text.chars() {
        match c {
            '&' => out.write_str("&amp;")?,
            '<' => out.write_str("&lt;")?,
            '>' => out.write_str("&gt;")?,
            '"' => out.write_str("&quot;")?,
            '\'' => out.write_str("&#39;")?,
            c => out.write_char(c)?,
        }
    }
    Ok(())
}
