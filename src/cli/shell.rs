//! `postrider completions` and `postrider man`: made from the definition of the command line.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;

use super::Failure;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  postrider completions bash > ~/.local/share/bash-completion/completions/postrider
  postrider completions zsh > ~/.zfunc/_postrider
  postrider completions fish > ~/.config/fish/completions/postrider.fish")]
pub(super) struct CompletionsArguments {
    /// For which shell
    shell: Shell,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  postrider man | man -l -             read it
  postrider man --dir man/man1         one page per command")]
pub(super) struct ManArguments {
    /// Write one page per command into this folder, which is made if it does not exist
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

pub(super) async fn completions(arguments: CompletionsArguments) -> Result<(), Failure> {
    let mut text = Vec::new();
    clap_complete::generate(arguments.shell, &mut super::Arguments::command(), "postrider", &mut text);
    print(&text)
}

pub(super) async fn man(arguments: ManArguments) -> Result<(), Failure> {
    let command = whole_command();
    match arguments.dir {
        None => print(&whole_page(&command)?),
        Some(folder) => {
            std::fs::create_dir_all(&folder).with_context(|| format!("the folder `{}` cannot be made", folder.display()))?;
            Ok(write_pages(&command, &folder)?)
        }
    }
}

/// The definition with the full names of the subcommands filled in; clap's own `help` is no page.
fn whole_command() -> Command {
    let mut command = super::Arguments::command().disable_help_subcommand(true);
    command.build();
    command
}

/// A reader that has gone, such as `head`, is no failure.
fn print(text: &[u8]) -> Result<(), Failure> {
    match std::io::stdout().lock().write_all(text) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// The page of the program, with a section for each command behind it.
fn whole_page(command: &Command) -> std::io::Result<Vec<u8>> {
    let mut page = Vec::new();
    Man::new(command.clone()).render(&mut page)?;
    let mut page = kept_lines(&page);
    for subcommand in visible(command) {
        write_section(subcommand, &mut page)?;
    }
    Ok(page)
}

/// What a command has to say of itself, as one section of the whole page.
fn write_section(command: &Command, page: &mut Vec<u8>) -> std::io::Result<()> {
    let man = Man::new(command.clone());
    let mut text = Vec::new();
    man.render_description_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    if command.get_arguments().next().is_some() {
        man.render_options_section(&mut text)?;
    }
    if command.get_after_help().is_some() {
        man.render_extra_section(&mut text)?;
    }
    // Sections of its own page are parts of a section here.
    let text = String::from_utf8_lossy(&kept_lines(&text)).replace("\n.SH ", "\n.SS ");
    writeln!(page, ".SH {}", full_name(command).to_uppercase())?;
    page.extend_from_slice(text.as_bytes());
    visible(command).try_for_each(|subcommand| write_section(subcommand, page))
}

/// Keeps the lines of the examples, which would be filled like prose, and calls them what they are.
fn kept_lines(page: &[u8]) -> Vec<u8> {
    let page = String::from_utf8_lossy(page);
    let Some((before, extra)) = page.split_once(".SH EXTRA\n") else { return page.into_owned().into_bytes() };
    let end = extra.find("\n.SH ").map_or(extra.len(), |end| end + 1);
    format!("{before}.SH NOTES\n.nf\n{}\n.fi\n{}", extra[..end].trim_end(), &extra[end..]).into_bytes()
}

fn write_pages(command: &Command, folder: &Path) -> anyhow::Result<()> {
    let path = folder.join(format!("{}.1", full_name(command).replace(' ', "-")));
    let mut page = Vec::new();
    Man::new(command.clone()).render(&mut page)?;
    std::fs::write(&path, kept_lines(&page)).with_context(|| format!("`{}` cannot be written", path.display()))?;
    eprintln!("{}", path.display());
    visible(command).try_for_each(|subcommand| write_pages(subcommand, folder))
}

fn visible(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|subcommand| !subcommand.is_hide_set() && subcommand.get_name() != "help")
}

fn full_name(command: &Command) -> &str {
    command.get_bin_name().unwrap_or_else(|| command.get_name())
}
