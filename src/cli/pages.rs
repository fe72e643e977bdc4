//! `hitchline completions` and `hitchline man`.

use std::io::{self, Write};

use clap::CommandFactory;
use clap_complete::Shell;
use clap_mangen::Man;

use super::arguments::Arguments;
use super::{Exit, Failure, output};

/// What the arguments alone don't tell, as the man page has it.
const REST: &str = include_str!("hitchline.1.roff");

/// Writes the completions for a shell.
pub(super) fn completions(shell: Shell) -> Result<Exit, Failure> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "hitchline", &mut text);
    output::print(&String::from_utf8_lossy(&text))?;
    Ok(Exit::Done)
}

/// Writes the man page.
pub(super) fn man() -> Result<Exit, Failure> {
    let page = render().map_err(|error| Failure::new(Exit::Internal, error.to_string()))?;
    output::print(&String::from_utf8_lossy(&page))?;
    Ok(Exit::Done)
}

/// One page for everything, rather than one that refers to a page for each command.
fn render() -> io::Result<Vec<u8>> {
    let mut command = Arguments::command().disable_help_subcommand(true);
    command.build();
    let mut page = Vec::new();
    let whole = Man::new(command.clone());
    whole.render_title(&mut page)?;
    whole.render_name_section(&mut page)?;
    whole.render_synopsis_section(&mut page)?;
    writeln!(page, ".SH COMMANDS")?;
    render_commands(&command, &mut page)?;
    page.write_all(REST.as_bytes())?;
    Ok(page)
}

fn render_commands(parent: &clap::Command, page: &mut Vec<u8>) -> io::Result<()> {
    for command in parent.get_subcommands() {
        if command.has_subcommands() {
            render_commands(command, page)?;
            continue;
        }
        let name = command.get_bin_name().unwrap_or_default();
        let about = command.get_long_about().or_else(|| command.get_about()).map(ToString::to_string);
        let about = about.unwrap_or_default().replace("\n\n", ".\n.PP\n");
        writeln!(page, ".SS {name}\n{}.", about.trim_end_matches('.'))?;
        let mut options = Vec::new();
        Man::new(command.clone()).render_options_section(&mut options)?;
        let text = String::from_utf8_lossy(&options);
        // The section's own heading and preamble belong to a page of its own.
        page.write_all(text.split_once(".SH OPTIONS\n").map_or("", |(_, options)| options).as_bytes())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_explains_every_command_and_every_exit_code() {
        let page = String::from_utf8(render().unwrap()).unwrap();
        let commands = [
            "run",
            "check",
            "healthcheck",
            "sessions end",
            "audit list",
            "dlq list",
            "dlq retry",
            "dlq drop",
            "probe",
            "config schema",
        ];
        for command in commands {
            assert!(page.contains(&format!("\n.SS hitchline {command}\n")), "{command}: {page}");
        }
        let codes = [Exit::Done, Exit::Unhealthy, Exit::Usage, Exit::Internal, Exit::Occupied, Exit::Configuration];
        for code in codes.into_iter().chain([Exit::Interrupted, Exit::Terminated]) {
            assert!(page.contains(&format!("\n.B {}\n", code.code())), "{code:?}");
        }
        assert!(page.contains("simulator\\-listen"), "{page}");
        assert!(page.contains("silent.\n.PP\nPosts into a thread of its own"), "{page}");
    }
}
