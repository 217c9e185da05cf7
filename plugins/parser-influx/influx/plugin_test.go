package influx

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/narthex-io/narthex/sdk"
	"github.com/narthex-io/narthex/sdk/sdktest"
)

func TestConformance(t *testing.T) {
	sdktest.Run(t, sdktest.Case{
		Open: sdktest.InProcess(Plugin(), sdktest.NewHost(t).SDK()),
		Kind: sdk.KindParser,
		Good: sdk.Config(`{}`),
		Bad:  []sdk.Config{sdk.Config(`{"precison": "s"}`), sdk.Config(`{"precision": "m"}`), sdk.Config(`[]`)},
		Bodies: []sdktest.Body{
			{Text: "cpu,host=a usage=0.5,idle=99i 1\n"},
			{ContentType: "text/plain", Text: "# a comment\n\nmem free=12u\nmem,host=b free=1e3\n"},
		},
	})
}

func TestMistakes(t *testing.T) {
	fails := func(config, want string) {
		t.Helper()
		if _, err := ParseConfig(sdk.Config(config)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", config, err, want)
		}
	}
	fails(`{"precision": "m"}`, `precision: "m" is none of ns, us, ms and s`)
	fails(`{"strings": "drop"}`, `strings: "drop" is neither skip nor labels`)
	fails(`{"names": ""}`, `names: "" is neither underscores nor utf8`)
	fails(`{"invalid_lines": 1}`, `invalid_lines: a number is not what belongs here`)
	fails(`{"sep": "_"}`, "sep: unknown field; there are prefix, separator, value_field")
}

// parse returns the exposition of lines that semicolons separate.
func parse(t *testing.T, config, lines string) (string, error) {
	t.Helper()
	p, err := Plugin().NewParser(sdk.Config(config), sdktest.NewHost(t).SDK())
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	err = p.Parse(t.Context(), []byte(strings.ReplaceAll(lines, ";", "\n")), "", &out)
	return strings.ReplaceAll(strings.TrimSuffix(out.String(), "\n"), "\n", ";"), err
}

func TestLines(t *testing.T) {
	is := func(config, lines, want string) {
		t.Helper()
		got, err := parse(t, config, lines)
		if err != nil || got != want {
			t.Errorf("%s %s\n got %s, %v\nwant %s", config, lines, got, err, want)
		}
	}
	is(`{}`, ``, ``)
	is(`{}`, `# nothing;;`, ``)
	is(`{}`, `cpu usage=0.5`, `cpu_usage 0.5`)
	is(`{}`, `cpu,host=a,cpu=0 usage=0.5,idle=99i,n=12u 1700000000000000000`,
		`cpu_usage{cpu="0",host="a"} 0.5;cpu_idle{cpu="0",host="a"} 99;cpu_n{cpu="0",host="a"} 12`)
	is(`{}`, `big n=9223372036854775807i,m=18446744073709551615u,f=-1.5e-7`, `big_n 9223372036854775807;big_m 18446744073709551615;big_f -1.5e-7`)
	is(`{}`, `door open=true,shut=F,ajar=t`, `door_open 1;door_shut 0;door_ajar 1`)
	is(`{}`, `temp value=20,raw=3`, `temp 20;temp_raw 3`)
	is(`{"value_field": ""}`, `temp value=20`, `temp_value 20`)
	is(`{"prefix": "x_", "separator": ":"}`, `a b=1`, `x_a:b 1`)
	is(`{}`, `disk\ used,mount\ point=/a\,b,we-ird\==q"u\ o free\ space=1,2x=2`,
		`disk_used_free_space{mount_point="/a,b",we_ird_="q\"u o"} 1;disk_used_2x{mount_point="/a,b",we_ird_="q\"u o"} 2`)
	is(`{}`, `1st a=1;ünï b=1`, `_st_a 1;__n___b 1`)
	is(`{"names": "utf8"}`, `a.b,c-d=e,f=g h.i=1,j=2;k,l=m n=3`, `{"a.b_h.i","c-d"="e",f="g"} 1;{"a.b_j","c-d"="e",f="g"} 2;k_n{l="m"} 3`)
	is(`{}`, `a,__name__=evil,__x=y b=1`, `a_b{tag__name__="evil",tag__x="y"} 1`)
	is(`{}`, `a s="text",b=1;c s="only"`, `a_b 1`)
	is(`{"strings": "labels"}`, `a,z=1 s="te\"xt",b=1,c=2`, `a_b{s="te\"xt",z="1"} 1;a_c{s="te\"xt",z="1"} 2`)
	// Without timestamps the last line of a series counts, whatever the order of its tags.
	is(`{}`, `a,x=1,y=2 b=1 1;c d=1;a,y=2,x=1 b=2 2`, `a_b{x="1",y="2"} 2;c_d 1`)
	is(`{"timestamps": true}`, `a b=1 1700000000123456789;a b=2 1700000001000000000;a b=3`, `a_b 1 1700000000123;a_b 2 1700000001000;a_b 3`)
	is(`{"timestamps": true, "precision": "s"}`, `a b=1 1700000000`, `a_b 1 1700000000000`)
	is(`{"timestamps": true, "precision": "ms"}`, `a b=1 -1`, `a_b 1 -1`)
	is(`{"timestamps": true, "precision": "us"}`, `a b=1 1700000000123456`, `a_b 1 1700000000123`)
	is(`{"invalid_lines": "skip"}`, `a b=1;nonsense;c d=2;e f=x;g,h=i,h=j k=1;l m=3`, `a_b 1;c_d 2;l_m 3`)
}

func TestBadLines(t *testing.T) {
	fails := func(lines, want string) {
		t.Helper()
		if got, err := parse(t, `{}`, lines); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %s, %v, want %q", lines, got, err, want)
		}
	}
	fails(`a b=1;nonsense`, "at line 2:")
	fails(`a b=x`, "at line 1:")
	fails(`a b="x`, "at line 1:")
	fails(`a,b c=1`, "at line 1:")
	fails(`a b=1e999`, `field "b" of "a"`)
	fails(`a b=9223372036854775808i`, `field "b" of "a"`)
	fails("a,t=\xff b=1", "at line 1:5: invalid utf-8")
	fails(`a b=1 soon`, "at line 1:")
	fails(`a,x-y=1,x.y=2 b=1`, `measurement "a": there are several tags or fields that become the label x_y`)
	fails(`<html><body>502</body></html>`, "at line 1:")
}

func TestDeadline(t *testing.T) {
	p := &parser{config: Config{}}
	ctx, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	body := strings.Repeat("a b=1\n", 2*stopEvery)
	if err := p.Parse(ctx, []byte(body), "", &bytes.Buffer{}); err == nil {
		t.Error("a deadline that has passed does not matter")
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"a,b=c d=1i,e=t,f=\"g\" 12\n", "a\\ b,c\\==d\\,e f=1u\n# x\n", "a,__x=1 b=1\na,x-y=2 c=3e4"} {
		f.Add([]byte(s), true, true, true)
		f.Add([]byte(s), false, false, false)
	}
	f.Fuzz(func(t *testing.T, body []byte, utf8, labels, times bool) {
		c, err := ParseConfig(sdk.Config(`{}`))
		if err != nil {
			t.Fatal(err)
		}
		c.UTF8, c.StringLabels, c.Timestamps = utf8, labels, times
		var out bytes.Buffer
		if err := (&parser{config: c}).Parse(t.Context(), body, "", &out); err != nil {
			return
		}
		if err := sdktest.CheckExposition(out.Bytes(), ""); err != nil && !times {
			t.Errorf("%q becomes %q: %v", body, out.Bytes(), err)
		}
	})
}

func BenchmarkParse(b *testing.B) {
	body := exampleBody(10_000)
	p := &parser{config: Config{Separator: "_", ValueField: "value"}}
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		var out bytes.Buffer
		if err := p.Parse(b.Context(), body, "", &out); err != nil {
			b.Fatal(err)
		}
	}
}

// exampleBody has n lines of four fields, as an agent on many machines sends them.
func exampleBody(n int) []byte {
	var b bytes.Buffer
	for i := range n {
		fmt.Fprintf(&b, "cpu,host=web-%04d,region=eu-west-1,cpu=cpu%d usage_user=%d.25,usage_system=1.5,usage_idle=%di,interrupts=%du 1700000000000000000\n",
			i/8, i%8, i%100, i, i*7)
	}
	return b.Bytes()
}
