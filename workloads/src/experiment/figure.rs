//! Charts of an experiment, with intervals as whiskers.

use super::measured::Measured;
use super::plan::BASE;
use crate::plot::{Bars, Cluster, Look, Plot, Scale, Series};
use crate::statistics::Interval;

/// A chart, and the end of its file's name.
#[derive(Clone, Debug, PartialEq)]
pub struct Chart {
    /// Empty for the first chart of an experiment.
    pub suffix: &'static str,
    /// What it shows.
    pub title: String,
    /// The SVG document.
    pub svg: String,
}

impl Chart {
    /// A metric of some arms along a factor, over the base and the settings that move it.
    pub fn curve(
        m: &Measured,
        suffix: &'static str,
        title: &str,
        (factor, x): (&str, &str),
        (metric, y): (&str, &str),
        arms: &[&str],
    ) -> Chart {
        let all: Vec<_> = arms.iter().map(|arm| ((*arm).to_owned(), m.curve(factor, arm, metric))).collect();
        // An arm that runs in the base alone is no line.
        let most = all.iter().map(|(_, points)| points.len()).max().unwrap_or(0);
        let lines = all.into_iter().filter(|(_, points)| points.len() > 1 || points.len() == most);
        Chart::lines(m, suffix, title, (x, y), lines.collect())
    }

    /// Lines through points with intervals.
    pub fn lines(
        m: &Measured,
        suffix: &'static str,
        title: &str,
        (x, y): (&str, &str),
        lines: Vec<(String, Vec<(f64, Interval)>)>,
    ) -> Chart {
        let line = |(name, points): (String, Vec<(f64, Interval)>)| Series {
            name,
            intervals: points.iter().map(|(_, i)| (i.low, i.high)).collect(),
            points: points.iter().map(|(x, i)| (*x, i.median)).collect(),
            look: Look::Ours,
        };
        let series: Vec<_> = lines.into_iter().filter(|(_, points)| !points.is_empty()).map(line).collect();
        let positive = series.iter().all(|s| s.points.iter().all(|p| p.0 > 0.0));
        let plot = Plot {
            title: title.into(),
            x: x.into(),
            y: format!("{y}, median and 95 %"),
            x_scale: if positive { Scale::Log } else { Scale::Linear },
            y_scale: Scale::Linear,
            series,
            origin: Some(origin(m)),
        };
        Chart { suffix, title: title.into(), svg: plot.svg() }
    }

    /// A metric of some arms over that of the reference, in some settings: a cluster of bars for each setting.
    pub fn bars(
        m: &Measured,
        suffix: &'static str,
        title: &str,
        metric: (&str, &str),
        settings: &[&str],
        arms: &[&str],
    ) -> Chart {
        let bar = |setting: &str, arm: &&str| (setting.to_owned(), (*arm).to_owned());
        let cluster = |setting: &&str| {
            let bars = arms.iter().map(|arm| bar(setting, arm)).collect();
            ((*setting).to_owned(), bars)
        };
        Chart::clusters(m, suffix, title, metric, arms, settings.iter().map(cluster).collect())
    }

    /// The same of arms that are points of two axes, in the base: a cluster for each `kind`, in it a bar for each `variant`.
    /// The arms are called `KIND VARIANT`.
    pub fn grid(
        m: &Measured,
        suffix: &'static str,
        title: &str,
        metric: (&str, &str),
        kinds: &[&str],
        variants: &[&str],
    ) -> Chart {
        let bar = |kind: &str, variant: &&str| (BASE.to_owned(), format!("{kind} {variant}"));
        let cluster = |kind: &&str| {
            let bars = variants.iter().map(|variant| bar(kind, variant)).collect();
            ((*kind).to_owned(), bars)
        };
        Chart::clusters(m, suffix, title, metric, variants, kinds.iter().map(cluster).collect())
    }

    /// Clusters by name, each bar by setting and arm; a cluster of which nothing was run is left out.
    fn clusters(
        m: &Measured,
        suffix: &'static str,
        title: &str,
        (metric, y): (&str, &str),
        names: &[&str],
        clusters: Vec<(String, Vec<(String, String)>)>,
    ) -> Chart {
        let reference = m.plan.reference;
        let bar = |(setting, arm): &(String, String)| {
            m.ratio(setting, metric, reference, arm).map(|i| (i.median, i.low, i.high))
        };
        let drawn =
            clusters.into_iter().map(|(name, arms)| Cluster { name, bars: arms.iter().map(bar).collect() });
        let bars = Bars {
            title: title.into(),
            y: format!("{y} over that of {reference}"),
            names: names.iter().map(|name| (*name).into()).collect(),
            clusters: drawn.filter(|c| c.bars.iter().any(Option::is_some)).collect(),
            origin: origin(m),
        };
        Chart { suffix, title: title.into(), svg: bars.svg() }
    }
}

fn origin(m: &Measured) -> String {
    let keys: Vec<_> = m.plan.base.iter().map(|(k, v)| format!("{k}={v}")).collect();
    format!(
        "shootdown {}, seeds 1 to {}, {BASE}: {}",
        env!("CARGO_PKG_VERSION"),
        m.plan.seeds,
        keys.join(" ")
    )
}
