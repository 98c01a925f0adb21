//! A sheet: title, legend, panels in rows and columns, and notes, on one kuva scene that is as tall as they need.

use super::canvas::{Area, Canvas, Stroke};
use super::style::{ALARM, FACET, GAP, INK, LABEL, MARGIN, MIN_HEIGHT, SMALL, SUBTITLE, TITLE, WIDTH, look};
use super::text;
use crate::analyze::{Analysis, largest};
use kuva::render::render::Scene;

/// Panels of one section; more would make a sheet that nobody can read.
pub(super) const MOST_PANELS: usize = 6;

/// Bars, rows, points or curves of all panels of a section together: in print each is then still some millimetres high.
pub(super) const MOST_CASES: usize = 32;

/// A finished picture, before it becomes SVG and PNG.
pub(super) struct Sheet {
    /// What is drawn, with the size of the sheet in units.
    pub scene: Scene,
    /// What is missing and which command brings it, if there was nothing to draw.
    pub missing: Option<String>,
}

/// A part of a sheet that draws itself into a rectangle.
pub(super) trait Panel {
    /// The least height at which nothing overlaps, units.
    fn height(&self, width: f64) -> f64;
    /// Draws it into at least that height.
    fn draw(&self, canvas: &mut Canvas, area: Area);
}

/// An entry of the legend.
pub(super) enum Key {
    /// Colour and hatch of a series.
    Series(usize, String),
    /// Marker of a series.
    Point(usize, String),
    /// A white dot.
    Dot(&'static str),
    /// A line with caps.
    Interval(&'static str),
    /// A line, dashed or not.
    Line(&'static str, bool),
    /// A hollow point.
    Hollow(&'static str),
}

impl Key {
    fn name(&self) -> &str {
        match self {
            Key::Series(_, name) | Key::Point(_, name) => name.as_str(),
            Key::Dot(name) | Key::Interval(name) | Key::Line(name, _) | Key::Hollow(name) => name,
        }
    }

    fn label(&self) -> String {
        text::shorten(self.name(), LABEL.size, 320.0)
    }

    fn width(&self) -> f64 {
        24.0 + text::width(&self.label(), LABEL.size) + 24.0
    }

    fn draw(&self, canvas: &mut Canvas, x: f64, baseline: f64) {
        let y = baseline - 4.0;
        match self {
            Key::Series(slot, _) => canvas.block((x, y - 6.0), (x + 18.0, y + 6.0), look(*slot)),
            Key::Point(slot, _) => canvas.marker((x + 9.0, y), 5.0, look(*slot), true),
            Key::Hollow(_) => canvas.marker((x + 9.0, y), 4.5, look(0), false),
            Key::Dot(_) => canvas.dot((x + 9.0, y), 2.6),
            Key::Interval(_) => canvas.whisker((x + 1.0, y), (x + 17.0, y), 4.5),
            Key::Line(_, dashed) => {
                let stroke = Stroke::new(INK, 1.6);
                canvas.line((x, y), (x + 18.0, y), if *dashed { stroke.dashed() } else { stroke });
            }
        }
        canvas.text((x + 24.0, baseline), &self.label(), LABEL);
    }
}

/// What goes on a sheet.
pub(super) struct Page {
    title: &'static str,
    subtitle: String,
    keys: Vec<Key>,
    sections: Vec<Vec<Box<dyn Panel>>>,
    columns: usize,
    notes: Vec<String>,
    missing: Option<String>,
}

impl Page {
    /// A page with a title and a line that says what is shown.
    pub fn new(title: &'static str, subtitle: impl Into<String>) -> Page {
        Page {
            title,
            subtitle: subtitle.into(),
            keys: Vec::new(),
            sections: Vec::new(),
            columns: 1,
            notes: Vec::new(),
            missing: None,
        }
    }

    /// An empty page for an analysis; where that holds chosen cases alone, a note says so.
    pub fn of(analysis: &Analysis, title: &'static str, subtitle: impl Into<String>) -> Page {
        let mut page = Page::new(title, subtitle);
        page.notes.extend(analysis.choice());
        page
    }

    /// The sheet of a plot without data: `what` is missing, and the commands that bring it.
    pub fn nothing(title: &'static str, what: &str, commands: &[&str], failures: Option<String>) -> Sheet {
        let mut page = Page::new(title, String::new());
        let bring = commands.join("; ");
        page.missing = Some(match &failures {
            Some(failures) => format!("{what} ({failures}); this brings it: {bring}"),
            None => format!("{what}; this brings it: {bring}"),
        });
        let commands = commands.iter().map(|command| (*command).to_owned()).collect();
        page.sections.push(vec![Box::new(Message { what: what.to_owned(), failures, commands })]);
        page.finish()
    }

    /// Adds entries to the legend.
    pub fn keys(&mut self, keys: impl IntoIterator<Item = Key>) {
        self.keys.extend(keys);
    }

    /// Adds a line below the panels.
    pub fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// Number of panels side by side.
    pub fn columns(&mut self, columns: usize) {
        self.columns = columns.max(1);
    }

    /// Chooses among panels of too many cases: see [`largest`]. A note says what is left out; `what` names the cases.
    pub fn choose<T>(&mut self, panels: Vec<Vec<T>>, most_panels: usize, what: &str) -> Vec<Vec<T>> {
        let cut = panels.iter().any(|panel| panel.len() > MOST_CASES);
        let shown = largest(panels, most_panels, MOST_CASES);
        if shown.is_part() {
            let which = match cut {
                true => ": the first ones of the panel with the most, in the order of tables".to_owned(),
                false => format!(
                    ", in {} of {} panels: those with the most {what} first, of equals the first in the order of tables",
                    shown.sets.len(),
                    shown.sets_in_all
                ),
            };
            self.note(format!(
                "Shown are {} of {} {what}{which}. `tokometer plot --only KEY=VALUE` draws others (depth=0, threads=4, ...); all.csv holds all.",
                shown.items(),
                shown.items_in_all,
            ));
        }
        shown.sets
    }

    /// Adds panels that begin in a new row.
    pub fn section<P: Panel + 'static>(&mut self, panels: Vec<P>) {
        let panels: Vec<_> = panels.into_iter().map(|panel| Box::new(panel) as Box<dyn Panel>).collect();
        if !panels.is_empty() {
            self.sections.push(panels);
        }
    }

    /// Lays everything out and draws it.
    pub fn finish(self) -> Sheet {
        let inner = WIDTH - 2.0 * MARGIN;
        let title = text::wrap(self.title, TITLE.size, inner);
        let subtitle = text::wrap(&self.subtitle, SUBTITLE.size, inner);
        let keys = rows_of_keys(&self.keys, inner);
        let notes: Vec<String> = self.notes.iter().flat_map(|note| text::wrap(note, SMALL.size, inner)).collect();
        let column = (inner - (self.columns as f64 - 1.0) * GAP) / self.columns as f64;
        let rows: Vec<(&[Box<dyn Panel>], f64)> = self
            .sections
            .iter()
            .flat_map(|section| section.chunks(self.columns))
            .map(|row| (row, row.iter().map(|panel| panel.height(column)).fold(0.0, f64::max)))
            .collect();
        let head = MARGIN + title.len() as f64 * 24.0 + subtitle.len() as f64 * 18.0 + keys.len() as f64 * 21.0 + 8.0;
        let foot = notes.len() as f64 * 15.0 + 12.0;
        let need = head + rows.iter().map(|(_, height)| height + GAP * 0.6).sum::<f64>() + foot;
        let extra = (MIN_HEIGHT - need).max(0.0) / rows.len().max(1) as f64;
        let height = need.max(MIN_HEIGHT).ceil();

        let mut canvas = Canvas::new(WIDTH, height);
        let mut y = MARGIN;
        for (lines, step, style) in [(&title, 24.0, TITLE), (&subtitle, 18.0, SUBTITLE)] {
            for line in lines {
                canvas.text((MARGIN, y + 14.0), line, style);
                y += step;
            }
        }
        for row in keys {
            let mut x = MARGIN;
            for key in row {
                key.draw(&mut canvas, x, y + 13.0);
                x += key.width();
            }
            y += 21.0;
        }
        y += 8.0;
        for (row, least) in rows {
            let height = least + extra;
            for (i, panel) in row.iter().enumerate() {
                let x = MARGIN + i as f64 * (column + GAP);
                panel.draw(&mut canvas, Area { x, y, width: column, height });
            }
            y += height + GAP * 0.6;
        }
        for (i, note) in notes.iter().enumerate() {
            canvas.text((MARGIN, height - foot + 8.0 + i as f64 * 15.0), note, SMALL);
        }
        Sheet { scene: canvas.scene, missing: self.missing }
    }
}

fn rows_of_keys(keys: &[Key], room: f64) -> Vec<Vec<&Key>> {
    let mut rows: Vec<Vec<&Key>> = Vec::new();
    let mut left = 0.0;
    for key in keys {
        match rows.last_mut() {
            Some(row) if key.width() <= left => row.push(key),
            _ => {
                rows.push(vec![key]);
                left = room;
            }
        }
        left -= key.width();
    }
    rows
}

/// What a sheet says in place of an empty frame.
struct Message {
    what: String,
    failures: Option<String>,
    commands: Vec<String>,
}

impl Panel for Message {
    fn height(&self, _: f64) -> f64 {
        320.0
    }

    fn draw(&self, canvas: &mut Canvas, area: Area) {
        let room = area.width - 120.0;
        let mut lines = vec![(format!("Nothing to show yet: {}.", self.what), FACET)];
        lines.extend(self.failures.iter().map(|why| (format!("{why}."), LABEL.in_color(ALARM))));
        lines.push(("This brings it:".to_owned(), LABEL));
        lines.extend(self.commands.iter().map(|command| (command.clone(), LABEL)));
        let mut y = area.y + area.height * 0.3;
        for (line, style) in lines {
            for part in text::wrap(&line, style.size, room).iter().take(6) {
                canvas.text((area.x + area.width / 2.0, y), part, style.centred());
                y += 21.0;
            }
            y += 6.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Block(f64);

    impl Panel for Block {
        fn height(&self, _: f64) -> f64 {
            self.0
        }

        fn draw(&self, canvas: &mut Canvas, area: Area) {
            assert!(area.height >= self.0);
            assert!(area.right() <= WIDTH && area.bottom() <= canvas.scene.height);
        }
    }

    #[test]
    fn a_sheet_grows_with_its_rows_and_never_shrinks_below_its_least() {
        let sheet = |panels: usize| {
            let mut page = Page::new("Title", "what is shown");
            page.columns(2);
            page.section((0..panels).map(|_| Block(250.0)).collect());
            page.finish().scene.height
        };
        assert_eq!(sheet(2), MIN_HEIGHT);
        assert!(sheet(5) > 800.0);
    }

    #[test]
    fn of_too_many_cases_some_are_chosen_and_a_note_says_so() {
        let mut page = Page::new("Title", "what is shown");
        assert_eq!(page.choose(vec![vec![1, 2], vec![3]], MOST_PANELS, "cases"), [vec![1, 2], vec![3]]);
        assert!(page.notes.is_empty());
        let chosen = page.choose((0..50).map(|i| vec![i; 4]).collect(), MOST_PANELS, "cases");
        assert_eq!(chosen.len(), MOST_PANELS);
        assert!(page.notes[0].contains("Shown are 24 of 200 cases, in 6 of 50 panels"), "{:?}", page.notes);
        assert!(page.notes[0].contains("--only"));
    }

    #[test]
    fn a_long_legend_takes_several_rows() {
        let keys: Vec<Key> = (0..9).map(|i| Key::Series(i, "an engine with a name".to_owned())).collect();
        let rows = rows_of_keys(&keys, 600.0);
        assert!(rows.len() > 2 && rows.iter().map(Vec::len).sum::<usize>() == 9);
    }
}
