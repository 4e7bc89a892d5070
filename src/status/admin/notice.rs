//! What a page says after something has been done: a fixed text for a code in the address, and for
//! everything else nothing (`web.md` §6.4).

use serde::Serialize;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Notice {
    pub is_good: bool,
    pub words: &'static str,
}

/// None for a code that nobody has given out.
pub fn of(code: &str) -> Option<Notice> {
    let good = |words| Some(Notice { is_good: true, words });
    let bad = |words| Some(Notice { is_good: false, words });
    match code {
        "settings_applied" => good("The settings are in force. Nothing has been written to disk."),
        "settings_restart" => good(
            "The settings are changed. Those that need a restart wait for it; nothing has been written to disk.",
        ),
        "settings_unchanged" => good("Everything is as it was: no field said anything new."),
        "nothing_to_save" => good("The files say what is in force already. Nothing was written."),
        "log_flags_changed" => good("The logs are written as you have chosen, from now on."),
        "saved_to_disk" => good("The settings are saved to disk."),
        "reboot_requested" => good("The pool is stopping."),
        "ui_reloaded" => {
            good("The pages are loaded again. If one cannot be used, the log says why.")
        }
        "logged_out" => good("You are signed out."),
        "session_ended" => {
            bad("Your session has ended, so nothing was done. Sign in again, please.")
        }
        "miner_disconnected" => good("The miners were disconnected."),
        "stranger_disconnected" => good("The connections were ended."),
        "miner_banned" => good("The miners are banned, and disconnected."),
        "worker_banned" => good("The ban is in force."),
        "saved_worker_deleted" => good("The accounts are deleted, with all that belonged to them."),
        "saved_worker_banned" => good("The account's workers are banned, and disconnected."),
        "bans_removed" => good("The bans are lifted. Miners that wait come back by themselves."),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_has_its_words_and_anything_else_has_none() {
        assert!(of("logged_out").unwrap().is_good && !of("session_ended").unwrap().is_good);
        for code in ["", "logged_in", "LOGGED_OUT", "<script>", "logged_out "] {
            assert_eq!(of(code), None, "{code}");
        }
    }
}
