package parser

import (
	"testing"
	"time"
)

func TestResolveCalculatesDurations(t *testing.T) {
	p := New(Options{})
	resolve := func(text string, c DurationContext) (time.Duration, error) {
		t.Helper()
		e, err := p.ParseExpr(text)
		if err != nil {
			t.Fatal(err)
		}
		switch e := e.(type) {
		case *MatrixSelector:
			return e.RangeExpr.Resolve(c)
		case *SubqueryExpr:
			return e.StepExpr.Resolve(c)
		default:
			return e.(*VectorSelector).OffsetExpr.Resolve(c)
		}
	}
	check := func(text string, want time.Duration) {
		t.Helper()
		c := DurationContext{Range: 1000 * time.Second, Step: 15 * time.Second, AllowNegative: true}
		if got, err := resolve(text, c); err != nil || got != want {
			t.Errorf("%s is %s, %v; want %s", text, got, err, want)
		}
	}
	check("x[5m*2]", 10*time.Minute)
	check("x[2m*(10+5)]", 30*time.Minute)
	check("x[29m+60s]", 30*time.Minute)
	check("x[10%4]", 2*time.Second)
	check("x[2^3^2]", 512*time.Second)
	check("x[12/3/2]", 2*time.Second)
	check("x[-2^2]", -4*time.Second)
	check("x[0.1+0.2]", 300*time.Millisecond)
	check("x[step()+1]", 16*time.Second)
	check("x[range()]", 1000*time.Second)
	check("x[max_of(step(), range()/100)]", 15*time.Second)
	check("x[1m:((((8 - 2) / 3) * 7s) % 4) + 8000ms]", 10*time.Second)
	check("x offset -(min_of(step(), 2s)-5)", 3*time.Second)
	check("x offset (-step()*2)", -30*time.Second)
	check("x offset (9223372036 + 0.8)", 9223372036800*time.Millisecond)

	fails := func(text, want string) {
		t.Helper()
		if got, err := resolve(text, DurationContext{}); err == nil || err.Error() != want {
			t.Errorf("%s is %s, %v; want %s", text, got, err, want)
		}
	}
	fails("x[5m-5m]", "2:7: duration must be greater than 0")
	fails("x[range()]", "2:9: duration must be greater than 0")
	fails("x[min_of(step(), 5m)]", "9:19: duration must be greater than 0")
	fails("x[max_of(1m-1m, step()) * 2]", "9:27: duration must be greater than 0")
	fails("x[(0)]", "2:4: duration must be greater than 0")
	fails("x[1e9*1e9]", "2:9: duration is out of range")
	fails("x[(0-1)^0.5]", "3:11: duration is NaN or infinite")
	fails("x[5m/(0)]", "2:7: division by zero")
	fails("x offset (5m%(1-1))", "10:17: modulo by zero")
}
