package section_test

import (
	"strings"
	"testing"
	"time"

	"github.com/narthex-io/narthex/sdk"
	"github.com/narthex-io/narthex/sdk/guest/section"
)

type config struct {
	Server string   `json:"server"`
	Tags   []string `json:"tags"`
	Stale  bool     `json:"allow_stale"`
}

func TestDecode(t *testing.T) {
	c := config{Server: "localhost", Stale: true}
	if err := section.Decode(sdk.Config(`{"tags": ["a"], "allow_stale": false}`), &c); err != nil {
		t.Fatal(err)
	}
	if c.Server != "localhost" || c.Stale || len(c.Tags) != 1 {
		t.Errorf("%+v", c)
	}
	if err := section.Decode(nil, &c); err != nil {
		t.Errorf("an empty section: %v", err)
	}
}

func TestDecodeErrors(t *testing.T) {
	for text, want := range map[string]string{
		`{"sever": "x"}`: "sever: unknown field; there are server, tags and allow_stale",
		`{"server": 5}`:  "server: a number is not what belongs here",
		`{"tags": "x"}`:  "tags: a string is not what belongs here",
		`{`:              "unexpected EOF",
	} {
		if err := section.Decode(sdk.Config(text), &config{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}

func TestInterval(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"30s": 30 * time.Second, "1h30m": 90 * time.Minute, "1d": 24 * time.Hour, "1y2w": 379 * 24 * time.Hour, "5ms": 5 * time.Millisecond,
	} {
		if got, err := section.Interval("every", &text, time.Minute); err != nil || got != want {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	if got, err := section.Interval("every", nil, time.Minute); err != nil || got != time.Minute {
		t.Errorf("left out: %v, %v", got, err)
	}
	for text, want := range map[string]string{
		"":                      `every: "" is not a duration such as 30s or 1h30m`,
		"5":                     `every: "5" is not a duration`,
		"0":                     "every: 0 is no time above zero",
		"0s":                    "every: 0s is no time above zero",
		"1s1h":                  "is not a duration",
		"999y":                  "is too long",
		"1.5h":                  "is not a duration",
		"-5s":                   "is not a duration",
		"99999999999999999999s": "is too long",
	} {
		if _, err := section.Interval("every", &text, time.Minute); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}
