// Package inspect looks at data directories for humans and scripts: it lists blocks, analyses what makes one large, and
// prints series and samples as text.
//
// Start with [Blocks], [Analyze] and [Dump]. What they print is what `promtool tsdb` prints, so that scripts go on to
// work. Nothing is ever written to a data directory; what is damaged is told by name and left out.
package inspect
