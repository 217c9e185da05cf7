package parser

import "testing"

func FuzzParseExpr(f *testing.F) {
	for _, o := range observations(f) {
		f.Add(o.Input)
	}
	p := allOn()
	f.Fuzz(func(t *testing.T, input string) {
		e, err := p.ParseExpr(input)
		if err != nil {
			return
		}
		printed := e.String()
		again, err := p.ParseExpr(printed)
		if err != nil {
			t.Fatalf("%q is printed as %q: %v", input, printed, err)
		}
		if twice := again.String(); twice != printed {
			t.Fatalf("%q is printed as %q, and that as %q", input, printed, twice)
		}
		pretty, err := p.ParseExpr(Pretty(e))
		if err != nil || pretty.String() != printed {
			t.Fatalf("%q is pretty-printed as %q: %v", input, Pretty(e), err)
		}
	})
}

func FuzzParseSeriesDesc(f *testing.F) {
	for _, o := range observations(f) {
		if o.Mode == "series" {
			f.Add(o.Input)
		}
	}
	p := allOn()
	f.Fuzz(func(t *testing.T, input string) {
		if len(input) > 200 {
			return
		}
		if _, values, err := p.ParseSeriesDesc(input); len(values) > maxSequence || err != nil && values != nil {
			t.Fatalf("%q: %d values, %v", input, len(values), err)
		}
	})
}
