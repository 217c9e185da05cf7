package api

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/narthex-io/narthex/promql"
)

func TestExplain(t *testing.T) {
	h := newAPI(t)
	explained := func(path, form string) promql.Explanation {
		t.Helper()
		status, body := call(t, h, path, form)
		var answer struct {
			Status string
			Data   promql.Explanation
		}
		if err := json.Unmarshal([]byte(body), &answer); err != nil || status != 200 || answer.Data.Plan == nil {
			t.Fatalf("%v %d %s", err, status, body)
		}
		return answer.Data
	}
	x := explained("/query?query=sum(up)&explain=plan&time=100", "")
	if x.Start != 100_000 || x.Step != 0 || x.Analysis != nil || !strings.HasPrefix(x.Optimized.Children[0].Detail, "up") || x.Optimized.Children[0].Start != 4 {
		t.Errorf("%+v", x)
	}
	x = explained("/query_range", "query=sum(up)&explain=analyze&start=0&end=100&step=50")
	if x.Step != 50_000 || x.Analysis == nil || x.Analysis.Stats.Samples.TotalQueryable != 6 || x.Optimized.Children[0].Cost.Series != 2 {
		t.Errorf("%+v", x)
	}
	refused := func(path, want string) {
		t.Helper()
		if status, body := call(t, h, path, ""); status != 400 || !strings.Contains(body, want) {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	refused("/query?query=up&explain=yes", `invalid parameter \"explain\": \"yes\" is neither \"plan\" nor \"analyze\"`)
	refused("/query?query=up%2B&explain=plan", `invalid parameter \"query\": 1:4: parse error`)
	refused("/query_range?query=up[1m]&explain=plan&start=0&end=1&step=1", "invalid expression type")
}
