//! All public pages, of an empty, a busy and an unhealthy pool.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::shown::{OperatorDonation, Password};
use crate::snapshot::{Snapshot, StratumListener};
use crate::status::api::Server;
use crate::status::json::PoolHashrate;
use crate::status::sample;

fn page_of(page: Page, snapshot: &Snapshot) -> String {
    let pages = Pages::embedded(&Assets::new());
    let hashrate = PoolHashrate::new(snapshot).with_history(snapshot, &sample::history());
    let (frame, server) = (Frame::new(snapshot), Server::new(snapshot));
    let facts = Facts { snapshot, frame: &frame, server: &server, hashrate: &hashrate };
    pages.public(page, &facts).unwrap_or_else(|error| panic!("{page:?}: {error:?}"))
}

fn overview(snapshot: &Snapshot) -> String {
    page_of(Page::Overview, snapshot)
}

#[test]
fn every_page_has_one_heading_a_title_and_no_figure_that_cannot_be_shown() {
    let mut unhealthy = sample::busy();
    unhealthy.job = None;
    for snapshot in [sample::empty(), sample::busy(), unhealthy] {
        for page in Page::ALL {
            let html = page_of(page, &snapshot);
            assert_eq!(html.matches("<h1").count(), 1, "{page:?}");
            assert!(html.contains("<title>Solo Pool – ") && html.ends_with("</html>"), "{page:?}");
            for odd in ["NaN", "undefined", "{{", "{%", "inf "] {
                assert!(!html.contains(odd), "{page:?} has {odd}");
            }
            assert!(html.contains("aria-current=\"page\"") || html.contains("class=\"text\""));
        }
    }
}

#[test]
fn the_overview_is_complete_without_javascript() {
    let html = overview(&sample::busy());
    for text in [
        "1.39 PH/s",
        "934,217",
        "3.14782110",
        "135.5T",
        "2.00%",
        "bc1qw508...7kv8f3t4.garage",
        "stratum+tcp://@HOST@:3333",
        "stratum+tls://pool.example:3334",
        "Your own block, or nothing",
        "935,424",
        "1 in ",
        "on average",
        "81,235 <small>USD",
        "Hour from",
    ] {
        assert!(html.contains(text), "{text}");
    }
    assert!(!html.contains("Waiting for the node"));
}

#[test]
fn before_the_first_job_the_page_says_what_it_waits_for() {
    let html = overview(&sample::empty());
    assert!(html.contains("Waiting for the node"));
    assert!(!html.contains("stratum+tcp://"));
    let mut snapshot = sample::empty();
    snapshot.uptime = Duration::from_secs(3600);
    assert!(overview(&snapshot).contains("no job template available"));
}

#[test]
fn a_node_that_answers_and_lacks_blocks_is_said_to_be_catching_up() {
    let mut snapshot = sample::unhealthy();
    assert!(overview(&snapshot).contains("No connection to the node"));
    let node = Arc::make_mut(&mut snapshot.node);
    node.chain.as_mut().unwrap().is_initial_download = true;
    snapshot.work_source.blocks_behind = Some(7);
    let html = overview(&snapshot);
    assert!(
        html.contains("The node is catching up") && html.contains("Initial block download: yes")
    );
    // What it said before it went away is shown, and no reason any more.
    snapshot.work_source.blocks_behind = None;
    assert!(overview(&snapshot).contains("No connection to the node"));
}

#[test]
fn nothing_private_and_no_foreign_markup_gets_into_a_page() {
    let mut snapshot = sample::busy();
    let shown = Arc::make_mut(&mut snapshot.shown);
    for text in [&mut shown.brand_name, &mut shown.tagline, &mut shown.location] {
        *text = "<script>alert(1)</script>".to_owned();
    }
    for page in Page::ALL {
        let html = page_of(page, &snapshot);
        for text in
            ["<script>alert", "<b>bad", "hunter2", "10.0.0.7", &*snapshot.recent_work[0].name]
        {
            assert!(!html.contains(text), "{page:?}: {text}");
        }
    }
    let pages = Pages::embedded(&Assets::new());
    let page = context! { code => 404, path => "/<script>alert(2)" };
    let html = pages.render("error.html", &Frame::new(&snapshot), page).unwrap();
    assert!(html.contains("404") && !html.contains("<script>alert"));
}

#[test]
fn pages_hold_no_inline_script_or_style_and_load_nothing_from_elsewhere() {
    for page in Page::ALL {
        let html = page_of(page, &sample::busy());
        assert!(!html.contains("style=") && !html.contains("<style"), "{page:?}");
        assert!(!html.contains("onclick") && !html.contains("javascript:"), "{page:?}");
        assert_eq!(html.matches("<script").count(), html.matches("<script src=\"/").count());
        assert_eq!(
            html.matches("<link").count(),
            html.matches("href=\"/").count().min(html.matches("<link").count())
        );
        assert!(!html.contains("src=\"http"), "{page:?}");
    }
}

#[test]
fn the_script_knows_every_kind_of_figure_that_stays_fresh() {
    let script = include_str!("../../../web/app.js");
    for page in Page::ALL {
        let html = page_of(page, &sample::busy());
        for part in html.split("data-kind=\"").skip(1) {
            let kind = part.split('"').next().unwrap();
            assert!(script.contains(&format!("  {kind}: ")), "{kind}");
        }
    }
}

#[test]
fn listeners_on_every_address_take_the_pools_name_or_the_one_the_browser_used() {
    let mut snapshot = sample::busy();
    for (address, domain, shown) in [
        ("[::]:3333", "", "stratum+tcp://@HOST@:3333"),
        (":3333", "pool.example", "stratum+tcp://pool.example:3333"),
        ("10.1.2.3:3333", "pool.example", "stratum+tcp://10.1.2.3:3333"),
        ("[2001:db8::1]:3333", "", "stratum+tcp://[2001:db8::1]:3333"),
    ] {
        snapshot.stratum_listeners = vec![StratumListener { address: address.into(), tls: false }];
        Arc::make_mut(&mut snapshot.shown).domain = domain.to_owned();
        assert!(overview(&snapshot).contains(shown), "{shown}");
    }
}

#[test]
fn a_password_is_shown_only_when_everybody_may_know_it() {
    let mut snapshot = sample::busy();
    for (password, shown) in [
        (Password::None, "<code class=\"address\">x</code>"),
        (Password::Public("open sesame".into()), "open sesame"),
        (Password::Secret, "needs a password"),
    ] {
        Arc::make_mut(&mut snapshot.shown).password = password;
        assert!(overview(&snapshot).contains(shown), "{shown}");
    }
}

#[test]
fn what_is_unusual_is_said_on_every_page() {
    let mut snapshot = sample::busy();
    assert!(!page_of(Page::Node, &snapshot).contains("unusually high"));
    snapshot.pool_fee_percent = 12.0;
    snapshot.network = "signet";
    Arc::make_mut(&mut snapshot.shown).operator_donation = Some(OperatorDonation {
        percent: 25.0,
        name: "A <good> cause".into(),
        url: "https://cause.example/".into(),
        ..Default::default()
    });
    for page in Page::ALL {
        let html = page_of(page, &snapshot);
        assert!(html.contains("unusually high") && html.contains("12.00%"), "{page:?}");
        assert!(html.contains("This is a test network"));
    }
    assert!(overview(&snapshot).contains("25.00% of it to"));
    assert!(overview(&snapshot).contains("A &lt;good&gt; cause"));
}

#[test]
fn an_operators_page_takes_the_place_of_ours() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("terms.html"), "Terms of {{ frame.brand }}").unwrap();
    let pages = Pages::load(&Assets::new(), folder.path()).unwrap();
    let frame = Frame::new(&sample::busy());
    let terms = pages.render("terms.html", &frame, Value::UNDEFINED).unwrap();
    assert_eq!(terms, "Terms of Solo Pool");
    std::fs::write(folder.path().join("terms.html"), "{% if").unwrap();
    assert!(Pages::load(&Assets::new(), folder.path()).is_err());
}

#[test]
fn no_template_has_what_a_merge_has_left_in_it() {
    for (name, source) in EMBEDDED {
        for line in source.lines() {
            let is_mark = ["<<<<<<<", ">>>>>>>", "======="].iter().any(|m| line.starts_with(m));
            assert!(!is_mark, "{name}: {line}");
        }
    }
}
