//! A chart of cases by category: the same panel for bars and for distributions, upright or sideways.
//!
//! Upright charts read best but need short labels; sideways ones take any. [`arrange`] decides for a whole sheet.

use super::canvas::{Area, Canvas};
use super::marks::Mark;
use super::sheet::Panel;
use super::style::{GAP, MARGIN, WIDTH};
use super::{sideways, upright};

/// One case in a chart.
pub(super) struct Entry {
    /// Slot of the look.
    pub slot: usize,
    /// What was measured.
    pub mark: Mark,
    /// Details that stand beside this case alone.
    pub parts: Vec<String>,
    /// Text in the column at the right; sideways charts only.
    pub column: String,
}

/// Cases under one name.
pub(super) struct Category {
    /// The name, as `nf4`.
    pub name: String,
    /// Details of all its cases.
    pub parts: Vec<String>,
    /// The cases.
    pub entries: Vec<Entry>,
}

impl Category {
    /// Details that all cases share move from the cases to the category.
    pub fn new(name: String, mut entries: Vec<Entry>) -> Category {
        let mut parts = Vec::new();
        if entries.windows(2).all(|pair| pair[0].parts == pair[1].parts) {
            for entry in &mut entries {
                parts = std::mem::take(&mut entry.parts);
            }
        }
        Category { name, parts, entries }
    }
}

/// A panel of categories.
pub(super) struct Chart {
    /// Lines over the panel.
    pub title: Vec<String>,
    /// Name of the value axis with its unit.
    pub axis: String,
    /// The categories.
    pub categories: Vec<Category>,
    /// A value that is marked by a line, with its name.
    pub reference: Option<(f64, String)>,
    /// Whether the value axis is logarithmic; only for marks that are no bars.
    pub logarithmic: bool,
    /// Heading of the column at the right.
    pub column: Option<String>,
    /// Whether values run from left to right.
    pub sideways: bool,
}

impl Chart {
    /// An upright chart without reference and column.
    pub fn new(title: Vec<String>, axis: impl Into<String>, categories: Vec<Category>) -> Chart {
        Chart {
            title,
            axis: axis.into(),
            categories,
            reference: None,
            logarithmic: false,
            column: None,
            sideways: false,
        }
    }

    /// All cases.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.categories.iter().flat_map(|category| &category.entries)
    }

    /// Smallest and largest value that is drawn; `None` if nothing was measured.
    pub fn range(&self) -> Option<(f64, f64)> {
        let marks = self.entries().filter_map(|entry| entry.mark.range());
        let reference = self.reference.as_ref().map(|(value, _)| (*value, *value));
        let all = marks.chain(reference);
        all.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
    }

    /// Whether anything was measured.
    pub fn measured(&self) -> bool {
        self.entries().any(|entry| entry.mark.range().is_some())
    }
}

impl Panel for Chart {
    fn height(&self, width: f64) -> f64 {
        match self.sideways {
            true => sideways::height(self, width),
            false => upright::height(self, width),
        }
    }

    fn draw(&self, canvas: &mut Canvas, area: Area) {
        match self.sideways {
            true => sideways::draw(self, canvas, area),
            false => upright::draw(self, canvas, area),
        }
    }
}

/// Turns the charts of a sheet so that no label overlaps another, all the same way, and returns the number of columns.
pub(super) fn arrange(sections: &mut [Vec<Chart>]) -> usize {
    let full = WIDTH - 2.0 * MARGIN;
    let half = (full - GAP) / 2.0;
    let all: &[Vec<Chart>] = sections;
    let charts = || all.iter().flatten();
    let several = all.iter().any(|section| section.len() > 1);
    let stand = |width: f64| charts().all(|chart| upright::fits(chart, width));
    let lie = |width: f64| charts().all(|chart| sideways::labels_take(chart, width) < 0.55);
    let (columns, sideways) = if several && stand(half) {
        (2, false)
    } else if several && lie(half) {
        (2, true)
    } else {
        (1, !stand(full))
    };
    for chart in sections.iter_mut().flatten() {
        chart.sideways = sideways;
    }
    columns
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(value: f64, part: &str) -> Entry {
        let mark = Mark::Bar { value, ci: None, samples: vec![value] };
        Entry { slot: 0, mark, parts: vec![part.to_owned()], column: String::new() }
    }

    fn chart(categories: usize, name: &str) -> Chart {
        let categories = (0..categories)
            .map(|i| Category::new(format!("{name}{i}"), vec![entry(1.0, "Q4_K_M"), entry(2.0, "nf4")]))
            .collect();
        Chart::new(vec!["a".to_owned()], "Speed (tokens/s)", categories)
    }

    #[test]
    fn shared_details_move_to_the_category() {
        let category = Category::new("nf4".to_owned(), vec![entry(1.0, "same"), entry(2.0, "same")]);
        assert_eq!(category.parts, ["same"]);
        assert!(category.entries.iter().all(|entry| entry.parts.is_empty()));
        let category = Category::new("nf4".to_owned(), vec![entry(1.0, "one"), entry(2.0, "other")]);
        assert!(category.parts.is_empty());
    }

    #[test]
    fn few_short_labels_stand_and_many_or_long_ones_lie() {
        assert_eq!(arrange(&mut [vec![chart(2, "q")]]), 1);
        let mut few = [vec![chart(2, "q"), chart(2, "q")]];
        assert_eq!((arrange(&mut few), few[0][0].sideways), (2, false));
        let mut many = [vec![chart(20, "q"), chart(20, "q")]];
        assert_eq!((arrange(&mut many), many[0][0].sideways), (2, true));
        let mut long = [vec![chart(3, &"long".repeat(80))]];
        arrange(&mut long);
        assert!(long[0][0].sideways);
    }

    #[test]
    fn a_range_spans_values_and_reference() {
        let mut one = chart(1, "q");
        one.reference = Some((3.0, "x".to_owned()));
        assert_eq!(one.range(), Some((1.0, 3.0)));
    }
}
