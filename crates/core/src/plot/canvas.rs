//! Drawing on a sheet: text, lines, filled shapes and points, as primitives of a kuva scene.

use super::style::{Align, Look, Marker, Type};
use super::text;
use kuva::plot::FillPattern;
use kuva::render::color::Color;
use kuva::render::render::{PathData, Primitive, Scene, TextAnchor};

/// A rectangle on the sheet, in units from its upper left corner.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Area {
    pub x: f64,
    pub y: f64,
    pub width: f64,
    pub height: f64,
}

impl Area {
    pub fn right(&self) -> f64 {
        self.x + self.width
    }

    pub fn bottom(&self) -> f64 {
        self.y + self.height
    }
}

/// How a line is drawn.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stroke {
    pub color: &'static str,
    pub width: f64,
    pub dashed: bool,
}

impl Stroke {
    pub const fn new(color: &'static str, width: f64) -> Stroke {
        Stroke { color, width, dashed: false }
    }

    pub const fn dashed(self) -> Stroke {
        Stroke { dashed: true, ..self }
    }

    fn dashes(self) -> Option<String> {
        self.dashed.then(|| "6 4".to_owned())
    }
}

/// A point as (x, y), units.
pub(super) type Point = (f64, f64);

/// What is drawn on.
pub(super) struct Canvas {
    pub scene: Scene,
}

impl Canvas {
    pub fn new(width: f64, height: f64) -> Canvas {
        let mut scene = Scene::new(width, height);
        scene.font_family = Some(super::render::FONT_FAMILY.to_owned());
        scene.text_color = Some(super::style::INK.to_owned());
        Canvas { scene }
    }

    /// Text whose baseline begins, is centred or ends at a point.
    pub fn text(&mut self, at: Point, text: &str, style: Type) {
        self.put_text(at, text, style, None);
    }

    /// Text that is read from below.
    pub fn upward_text(&mut self, at: Point, text: &str, style: Type) {
        self.put_text(at, text, style, Some(-90.0));
    }

    fn put_text(&mut self, (x, y): Point, content: &str, style: Type, rotate: Option<f64>) {
        let anchor = match style.align {
            Align::Left => TextAnchor::Start,
            Align::Centre => TextAnchor::Middle,
            Align::Right => TextAnchor::End,
        };
        self.scene.add(Primitive::Text {
            x,
            y,
            content: text::clean(content),
            size: style.size,
            anchor,
            rotate,
            bold: false,
            color: Some(Color::from(style.color)),
        });
    }

    /// A straight line.
    pub fn line(&mut self, from: Point, to: Point, stroke: Stroke) {
        self.scene.add(Primitive::Line {
            x1: from.0,
            y1: from.1,
            x2: to.0,
            y2: to.1,
            stroke: Color::from(stroke.color),
            stroke_width: stroke.width,
            stroke_dasharray: stroke.dashes(),
        });
    }

    /// Lines from point to point.
    pub fn polyline(&mut self, points: Vec<Point>, stroke: Stroke) {
        self.scene.add(Primitive::PolyLine {
            points,
            stroke: Color::from(stroke.color),
            stroke_width: stroke.width,
            stroke_dasharray: stroke.dashes(),
        });
    }

    /// A rectangle of one colour.
    pub fn fill(&mut self, area: Area, color: &str) {
        self.rect(area, Color::from(color), None);
    }

    /// Lets what is there shine through only a little, so that text on it can be read.
    pub fn veil(&mut self, area: Area) {
        let Area { x, y, width, height } = area;
        let fill = Color::from("#ffffff");
        self.scene.add(Primitive::Rect {
            x,
            y,
            width,
            height,
            fill,
            stroke: None,
            stroke_width: None,
            opacity: Some(0.8),
        });
    }

    /// A rectangle between two opposite corners in the look of a series.
    pub fn block(&mut self, one: Point, other: Point, look: Look) {
        let area = Area {
            x: one.0.min(other.0),
            y: one.1.min(other.1),
            width: (one.0 - other.0).abs(),
            height: (one.1 - other.1).abs(),
        };
        self.rect(area, Color::from(look.color), Some(Color::from("#333333")));
        if let Some(hatch) = self.hatch(look.hatch) {
            self.rect(area, hatch, None);
        }
    }

    fn rect(&mut self, area: Area, fill: Color, stroke: Option<Color>) {
        let Area { x, y, width, height } = area;
        let stroke_width = stroke.as_ref().map(|_| 0.6);
        self.scene.add(Primitive::Rect { x, y, width, height, fill, stroke, stroke_width, opacity: None });
    }

    /// A closed shape in the look of a series.
    pub fn shape(&mut self, corners: &[Point], look: Look) {
        self.path(corners, Color::from(look.color), Color::from("#333333"), 0.6);
        if let Some(hatch) = self.hatch(look.hatch) {
            self.path(corners, hatch, Color::None, 0.0);
        }
    }

    fn path(&mut self, corners: &[Point], fill: Color, stroke: Color, stroke_width: f64) {
        let mut d = String::new();
        for (i, (x, y)) in corners.iter().enumerate() {
            d.push_str(&format!("{}{x:.2} {y:.2}", if i == 0 { "M" } else { "L" }));
        }
        d.push('Z');
        let data = PathData { d, fill: Some(fill), stroke, stroke_width, opacity: None, stroke_dasharray: None };
        self.scene.add(Primitive::Path(Box::new(data)));
    }

    /// The paint of a hatch, whose definition is added to the sheet once.
    fn hatch(&mut self, hatch: FillPattern) -> Option<Color> {
        if !hatch.is_patterned() {
            return None;
        }
        if !self.scene.defs.iter().any(|known| known == hatch.svg_def()) {
            self.scene.defs.push(hatch.svg_def().to_owned());
        }
        Some(Color::from(format!("url(#{})", hatch.id())))
    }

    /// A small white disc with a dark rim: visible on every colour.
    pub fn dot(&mut self, (cx, cy): Point, r: f64) {
        self.disc((cx, cy), r, Color::from("#ffffff"), 0.8);
    }

    /// A point in the look of a series; hollow if it is not `filled`.
    pub fn marker(&mut self, (x, y): Point, r: f64, look: Look, filled: bool) {
        let fill = Color::from(if filled { look.color } else { "#ffffff" });
        let corners: &[(f64, f64)] = match look.marker {
            Marker::Circle => return self.disc((x, y), r, fill, 1.0),
            Marker::Triangle => &[(0.0, -1.2), (1.1, 0.8), (-1.1, 0.8)],
            Marker::Square => &[(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)],
            Marker::Diamond => &[(0.0, -1.25), (1.25, 0.0), (0.0, 1.25), (-1.25, 0.0)],
        };
        let corners: Vec<Point> = corners.iter().map(|(dx, dy)| (x + dx * r, y + dy * r)).collect();
        self.path(&corners, fill, Color::from("#222222"), 1.0);
    }

    fn disc(&mut self, (cx, cy): Point, r: f64, fill: Color, rim: f64) {
        self.scene.add(Primitive::Circle {
            cx,
            cy,
            r,
            fill,
            fill_opacity: None,
            stroke: Some(Color::from("#222222")),
            stroke_width: Some(rim),
        });
    }

    /// A line between two points with a bar of `cap` units across each end.
    pub fn whisker(&mut self, from: Point, to: Point, cap: f64) {
        let stroke = Stroke::new("#222222", 1.3);
        self.line(from, to, stroke);
        // Caps stand across the longer direction.
        let (dx, dy) = if (from.0 - to.0).abs() > (from.1 - to.1).abs() { (0.0, cap) } else { (cap, 0.0) };
        for (x, y) in [from, to] {
            self.line((x - dx, y - dy), (x + dx, y + dy), stroke);
        }
    }
}
