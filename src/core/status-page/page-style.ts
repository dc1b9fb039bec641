// The style sheet of the status page. It is named by its hash in the page's Content-Security-Policy, so a browser takes this one
// and no other; a test says the new hash when the sheet changes.

/** Colours have a contrast of 4.5 to 1 and more in both schemes (WCAG 2.2 AA). No fonts, no images: nothing is loaded. */
export const PAGE_STYLE = `
:root{color-scheme:light dark;--text:#1b1f24;--back:#fff;--soft:#57606a;--line:#d0d7de;--band:#f6f8fa;--good:#116329;--warn:#7d4e00;--bad:#a40e26;--link:#0550ae}
@media (prefers-color-scheme:dark){:root{--text:#e6edf3;--back:#0d1117;--soft:#9198a1;--line:#30363d;--band:#161b22;--good:#56d364;--warn:#e3b341;--bad:#ff7b72;--link:#79c0ff}}
*{box-sizing:border-box}
body{margin:0;background:var(--back);color:var(--text);font:16px/1.5 system-ui,sans-serif}
header,main,footer{max-width:90rem;margin:0 auto;padding:1rem}
header{padding-bottom:0}
main{padding-top:0}
h1{font-size:1.5rem;line-height:1.25;margin:0 0 .5rem;overflow-wrap:anywhere}
h2{font-size:1.15rem;margin:1.5rem 0 .5rem}
p{margin:.25rem 0}
a{color:var(--link)}
a:focus-visible{outline:3px solid var(--link);outline-offset:2px}
.skip{position:absolute;left:-99rem}
.skip:focus{left:1rem;top:.5rem;background:var(--back);padding:.25rem .5rem}
.soft,footer{color:var(--soft)}
.good{color:var(--good)}
.warn{color:var(--warn)}
.bad{color:var(--bad)}
.good,.warn,.bad,.bold{font-weight:600}
.verdict{font-size:1.1rem}
dl{display:grid;grid-template-columns:minmax(5rem,max-content) 1fr;gap:.25rem 1rem;margin:0}
dt{color:var(--soft)}
dd{margin:0;grid-column:2;overflow-wrap:anywhere}
table{border-collapse:collapse;width:100%;font-size:.875rem}
caption{text-align:left;color:var(--soft);padding-bottom:.25rem}
th,td{text-align:left;vertical-align:top;padding:.375rem .5rem;border-bottom:1px solid var(--line);overflow-wrap:break-word}
tbody th,td:first-child,td:last-child{overflow-wrap:anywhere}
tbody th{min-width:14rem}
th{font-weight:600}
thead th{background:var(--band);white-space:nowrap}
@media (max-width:60rem){
table,caption,tbody,tr,th,td{display:block;width:100%}
thead{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
tr{border:1px solid var(--line);border-radius:.375rem;margin-bottom:.75rem;padding:.25rem 0}
tbody th,td{border:0;min-width:0;overflow-wrap:anywhere;display:grid;grid-template-columns:7rem 1fr;gap:.5rem;padding:.125rem .75rem}
tbody th::before,td::before{content:attr(data-label);color:var(--soft);font-weight:400}
dl{grid-template-columns:1fr}
dd{grid-column:1}
dt{margin-top:.25rem}
}
`;

/** SHA-256 of the sheet as CSP level 3 wants it: base64 of the hash of the text between the tags. */
export const PAGE_STYLE_HASH = "sha256-7jxCrgvhGbW6E8Fag4Z2l4mZNUBL11+YPtqcnsf7WTc=";
