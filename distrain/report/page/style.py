"""How a page looks: one text of CSS, light and dark, on a desk and on a phone.

What is drawn names a tone, a class that sets the variable `--c`: `s0` to `s6` are series that any
eye can tell apart (after Okabe and Ito), `r0` to `r9` a scale from faint to strong, `good`, `warn`,
`bad`, `gold`, `muted` and `accent` say what they mean.

What is wider than its place scrolls by itself, and has a shade at the edge that more lies behind:
it stays where it is, and what covers it at the end of the content moves with that.
"""

from typing import Final, TypeAlias

Tone: TypeAlias = str
"""The name of a class that sets a colour; see the module."""

NUM_SERIES: Final = 7
NUM_SHADES: Final = 10


def series_tone(index: int) -> Tone:
    """Return the tone of a figure's series, which comes again after seven."""
    return f"s{index % NUM_SERIES}"


def shade(share: float) -> Tone:
    """Return the tone of a share between 0, faint, and 1, strong."""
    return f"r{max(0, min(NUM_SHADES - 1, int(share * NUM_SHADES)))}"


_LIGHT: Final = {
    "page": "#fbfbf9",
    "sheet": "#ffffff",
    "text": "#1c2430",
    "soft": "#5f6b7a",
    "rule": "#e3e6ea",
    "grid": "#eceef1",
    "accent": "#1f5fbf",
    "on-strong": "#ffffff",
    "good": "#1b7f5c",
    "warn": "#a86400",
    "bad": "#bb3a2c",
    "gold": "#c79200",
    "ramp-low": "#d3dcea",
    "ramp-high": "#0a3d86",
    "s0": "#1f6fc4",
    "s1": "#d9730d",
    "s2": "#1c8f6b",
    "s3": "#b2528e",
    "s4": "#4aa6d6",
    "s5": "#c2412a",
    "s6": "#9a8200",
}
_DARK: Final = {
    "page": "#11151b",
    "sheet": "#181d25",
    "text": "#e5e9ef",
    "soft": "#97a2b2",
    "rule": "#2b333f",
    "grid": "#242b35",
    "accent": "#6aaaf5",
    "on-strong": "#0d1117",
    "good": "#56c79c",
    "warn": "#e5a54b",
    "bad": "#f08472",
    "gold": "#f0c24b",
    "ramp-low": "#303b4b",
    "ramp-high": "#9fd2ff",
    "s0": "#62abf2",
    "s1": "#f2a24e",
    "s2": "#50c59c",
    "s3": "#de8fc3",
    "s4": "#93d0f0",
    "s5": "#f0836a",
    "s6": "#d6bd4e",
}

_TONES: Final = ("good", "warn", "bad", "gold", "accent", *(f"s{at}" for at in range(NUM_SERIES)))

_RULES: Final = """
*{box-sizing:border-box}
html{color-scheme:light dark;-webkit-text-size-adjust:100%;scroll-behavior:smooth}
body{margin:0;background:var(--page);color:var(--text);font:16px/1.55 system-ui,-apple-system,
"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;-webkit-font-smoothing:antialiased}
main,header,footer{max-width:1080px;margin:0 auto;padding:0 28px}
header{padding-top:52px}
.kind{margin:0;color:var(--soft);font-size:13px;letter-spacing:.08em;text-transform:uppercase}
h1{margin:6px 0 0;font-size:34px;line-height:1.2;letter-spacing:-.02em;font-weight:650;
overflow-wrap:anywhere}
.under{margin:6px 0 0;color:var(--soft);overflow-wrap:anywhere}
.outcome{margin:26px 0 0;padding:16px 20px;border-left:4px solid var(--c);border-radius:4px;
background:color-mix(in srgb,var(--c) 8%,var(--sheet))}
.outcome b{color:var(--c);font-weight:650}
.outcome p{margin:4px 0 0;overflow-wrap:anywhere}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));
margin:26px 0 0;background:var(--sheet);
border:1px solid var(--rule);border-radius:10px;overflow:hidden}
.card{box-shadow:1px 1px 0 var(--rule);padding:15px 16px 13px;min-width:0}
.card dt{color:var(--soft);font-size:13px}
.card dd{margin:2px 0 0;font-size:23px;font-weight:600;letter-spacing:-.015em;line-height:1.25;
font-variant-numeric:tabular-nums;color:var(--c,inherit);overflow-wrap:anywhere}
.card.long dd{font-size:19px}
.card small{display:block;margin-top:2px;color:var(--soft);font-size:13px;line-height:1.4;
overflow-wrap:anywhere}
nav{margin:26px 0 0;padding:10px 0;border-top:1px solid var(--rule);
border-bottom:1px solid var(--rule);display:flex;flex-wrap:wrap;gap:2px 20px;font-size:14px}
a{color:var(--accent);text-decoration:none}
a:hover{text-decoration:underline}
nav a{color:var(--soft)}
section{margin:52px 0 0}
h2{margin:0;font-size:22px;line-height:1.3;letter-spacing:-.012em;font-weight:650}
h3{margin:30px 0 0;font-size:16px;font-weight:600}
.lead{margin:6px 0 0;color:var(--soft);max-width:72ch}
p{max-width:76ch}
.figures{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,400px),1fr));
gap:8px 36px;align-items:start}
figure{margin:24px 0 0;min-width:0}
figcaption{margin:0 0 8px;font-size:14px;font-weight:600}
figcaption small{display:block;color:var(--soft);font-weight:400;font-size:13px}
svg{display:block;width:100%;height:auto;overflow:visible}
.half svg{max-width:600px}
.phone{display:none}
.scroll{overflow-x:auto}
.scroll,pre{--under:var(--page);--edge:color-mix(in srgb,var(--soft) 28%,transparent);
background:linear-gradient(90deg,var(--under) 40%,transparent) 0 0/36px 100% no-repeat local,
linear-gradient(270deg,var(--under) 40%,transparent) 100% 0/36px 100% no-repeat local,
linear-gradient(90deg,var(--edge),transparent) 0 0/12px 100% no-repeat,
linear-gradient(270deg,var(--edge),transparent) 100% 0/12px 100% no-repeat var(--under)}
.wide svg{min-width:640px}
svg text{font-size:12px;fill:var(--soft);font-variant-numeric:tabular-nums}
svg .name{fill:currentColor}
svg .strong{fill:var(--on-strong)}
.grid{stroke:var(--grid)}
.axis{stroke:var(--rule)}
.line{fill:none;stroke:var(--c);stroke-width:1.8;stroke-linejoin:round;stroke-linecap:round}
.thin{stroke-width:1;stroke-opacity:.45}
.bold{stroke-width:2.6}
.line:hover,.line path:hover{stroke-width:3.2;stroke-opacity:1}
.area{fill:var(--c);stroke:none}
.empty{fill:var(--grid)}
.dot{fill:var(--c);stroke:var(--page);stroke-width:1.2}
.dot.muted,.points.muted{fill-opacity:.6;stroke-opacity:.5}
.points{fill:none;stroke:var(--c);stroke-width:5;stroke-linecap:round;stroke-opacity:.65}
.spine{stroke:var(--soft);stroke-opacity:.55}
.veil{fill:var(--page);fill-opacity:.72}
.bands{shape-rendering:crispEdges;opacity:.85}
.mark{stroke:var(--c);stroke-dasharray:4 4;stroke-width:1.2}
svg text.marked{fill:var(--c)}
.legend{display:flex;flex-wrap:wrap;gap:2px 18px;margin:8px 0 0;padding:0;list-style:none;
font-size:13px;color:var(--soft)}
.legend i{display:inline-block;width:11px;height:11px;margin-right:6px;border-radius:3px;
background:var(--c)}
.stack{display:flex;margin:18px 0 0;height:30px;
border-radius:6px;overflow:hidden;background:var(--grid)}
.stack span{background:var(--c);min-width:0;border-right:1px solid var(--page)}
.stack span:last-child{border:0}
.track{display:block;height:9px;margin-top:7px;border-radius:5px;background:var(--grid);min-width:90px}
.track span{display:block;height:100%;border-radius:5px;background:var(--c)}
table{border-collapse:collapse;width:100%;font-size:14px;margin:14px 0 0}
caption{text-align:left;font-weight:600;padding:0 0 6px}
th{color:var(--soft);font-weight:500;font-size:13px;vertical-align:bottom}
th,td{text-align:left;padding:7px 18px 7px 0;border-bottom:1px solid var(--rule)}
td{vertical-align:top;overflow-wrap:break-word}
.facts td{overflow-wrap:anywhere}
th:last-child,td:last-child{padding-right:0}
.number{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
tr.strong td{font-weight:600;color:var(--c,inherit)}
td .tone,.tone{color:var(--c)}
.facts td:first-child{color:var(--soft);width:26%;min-width:128px}
.checks{margin:16px 0 0;padding:0;list-style:none}
.checks li{position:relative;padding:4px 0 4px 30px;font-size:15px;overflow-wrap:anywhere}
.checks b{position:absolute;left:4px;color:var(--c)}
.note{margin:14px 0 0;padding:10px 16px;border-left:3px solid var(--c,var(--rule));
color:var(--soft);font-size:14px;overflow-wrap:anywhere}
.note.warn,.note.bad{color:inherit}
pre,code{font:13px/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
pre{margin:12px 0 0;padding:13px 16px;border:1px solid var(--rule);border-radius:8px;
--under:var(--sheet);overflow-x:auto}
details{margin:14px 0 0}
summary{cursor:pointer;color:var(--soft);font-size:14px}
footer{margin-top:64px;padding-top:18px;padding-bottom:52px;color:var(--soft);font-size:13px}
.muted{--c:var(--soft)}
.spared{--c:var(--rule)}
@media (max-width:640px){
main,header,footer{padding-left:18px;padding-right:18px}
header{padding-top:30px}
h1{font-size:27px}
section{margin-top:42px}
.cards{grid-template-columns:1fr 1fr}
.card{padding:12px 14px}
.card dd{font-size:20px}
.facts td:first-child{width:42%;min-width:104px}
.track{min-width:48px}
.half svg text,.wide svg text{font-size:15px}
.wide svg{min-width:720px}
.phone{display:block}
.desk{display:none}
.wide .scroll{margin-left:-12px;padding-left:12px}
th,td{padding-right:12px}
.scroll td{white-space:nowrap}
.scroll td.text{white-space:normal;min-width:15em}
}
@media print{body{background:#fff}section{break-inside:avoid}nav{display:none}}
"""


def css() -> str:
    """Return the page's CSS."""
    tones = "".join(f".{tone}{{--c:var(--{tone})}}" for tone in _TONES)
    mix = "color-mix(in oklab,var(--ramp-high) {percent}%,var(--ramp-low))"
    shades = "".join(
        f".r{at}{{--c:{mix.format(percent=round(100 * at / (NUM_SHADES - 1)))}}}"
        for at in range(NUM_SHADES)
    )
    dark = f"@media (prefers-color-scheme:dark){{:root{{{_variables(_DARK)}}}}}"
    return f":root{{{_variables(_LIGHT)}}}{dark}{tones}{shades}{_RULES}"


def _variables(colours: dict[str, str]) -> str:
    return "".join(f"--{name}:{colour};" for name, colour in colours.items())
