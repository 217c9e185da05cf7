package sdktest

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"time"
)

// Body is what a target answers.
type Body struct {
	ContentType, Text string
}

// garbage are bodies that a parser has to survive, and may take or refuse.
func garbage() []Body {
	return []Body{
		{},
		{Text: "\n"},
		{Text: "\x00"},
		{Text: "\xff\xfe\xfd"},
		{Text: strings.Repeat("[", 100_000)},
		{Text: strings.Repeat(`{"a":`, 100_000)},
		{Text: strings.Repeat("x", 1<<20)},
		{Text: strings.Repeat(",= \"\\\n", 1000)},
		{ContentType: "text/html; charset=\"\xff", Text: "<html><body>502 Bad Gateway</body></html>"},
		{ContentType: strings.Repeat("a/b;", 1000), Text: "a 1\n"},
	}
}

func (c Case) parser(t T) {
	g := c.open(t)
	p := g.Parser()
	if p == nil {
		t.Fatal("there is no parser")
	}
	ctx, cancel := context.WithTimeout(t.Context(), c.Patience)
	defer cancel()
	parse := func(b Body) {
		var out bytes.Buffer
		if err := p.Parse(ctx, []byte(b.Text), b.ContentType, &out); err != nil {
			t.Errorf("Parse(%.100q): %v", b.Text, err)
			return
		}
		if err := CheckExposition(out.Bytes(), g.Manifest().ContentType); err != nil {
			t.Errorf("Parse(%.100q): %v", b.Text, err)
		}
		if countSamples(out.Bytes()) == 0 {
			t.Errorf("Parse(%.100q) = %.100q, which has no samples", b.Text, out.Bytes())
		}
	}
	var all sync.WaitGroup // Parse may be called from several goroutines at once
	for _, b := range append(c.Bodies, c.Bodies...) {
		all.Go(func() { parse(b) })
	}
	all.Wait()
	for _, b := range garbage() {
		var out bytes.Buffer
		if err := p.Parse(ctx, []byte(b.Text), b.ContentType, &out); err != nil {
			t.Logf("garbage %.20q is refused: %v", b.Text, err)
		} else if err := CheckExposition(out.Bytes(), g.Manifest().ContentType); err != nil {
			t.Errorf("garbage %.20q becomes a bad exposition: %v", b.Text, err)
		}
	}
	if len(c.Bodies) == 0 {
		t.Logf("the case has no bodies: only garbage was tried")
		return
	}
	first := c.Bodies[0]
	parse(first) // as if nothing had happened
	returns(t, c.Patience, "Parse", func(gone context.Context) {
		_ = p.Parse(gone, []byte(first.Text), first.ContentType, &bytes.Buffer{})
	})
}

// returns checks that f returns when its context is done, with whatever.
func returns(t T, patience time.Duration, name string, f func(gone context.Context)) {
	t.Helper()
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		f(gone)
	}()
	select {
	case <-ended:
	case <-time.After(patience):
		t.Errorf("%s does not return when its context is done", name)
	}
}

// countSamples counts the lines that are neither empty nor comments.
func countSamples(body []byte) int {
	n := 0
	for line := range bytes.Lines(body) {
		if line = bytes.TrimSpace(line); len(line) > 0 && line[0] != '#' {
			n++
		}
	}
	return n
}
