package bucketuse

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"

	"github.com/narthex-io/narthex/host/apiclient"
)

const answer = `[
{"metric":{"__name__":"h_bucket","job":"a","le":"+Inf"},"values":[[1,"5"],[2,"9"],[3,"9"]]},
{"metric":{"__name__":"h_bucket","job":"a","le":"1"},"values":[[1,"0"],[2,"0"],[3,"0"]]},
{"metric":{"__name__":"h_bucket","job":"a","le":"10"},"values":[[1,"5"],[2,"8"],[3,"8"]]},
{"metric":{"__name__":"h_bucket","job":"b","le":"+Inf"},"values":[[1,"0"],[2,"1"]]},
{"metric":{"__name__":"h_bucket","job":"once","le":"+Inf"},"values":[[1,"0"]]},
{"metric":{"__name__":"up","job":"a"},"values":[[1,"1"],[2,"1"]]},
{"metric":{"__name__":"odd_bucket","le":"few"},"values":[[1,"1"],[2,"1"]]},
{"metric":{"__name__":"n"},"histograms":[
  [1,{"count":"2","sum":"2","buckets":[[0,"1","2","2"]]}],
  [2,{"count":"3","sum":"3","buckets":[[0,"2","4","2"],[0,"4","8","1"]]}]]},
{"metric":{"__name__":"n","job":"once"},"histograms":[[1,{"count":"2","sum":"2","buckets":[[0,"1","2","2"]]}]]}
]`

const want = `Populated buckets of each histogram
-----------------------------------
The fewest at a time, the average, the most at a time, and how many there are if that is more.

- h_bucket{job="a"} (classic): 1/1.667/2/3
- h_bucket{job="b"} (classic): 0/0.500/1
- n (native): 1/1.500/2/3

Populated buckets of all histograms together
--------------------------------------------
The least, the average and the greatest of the numbers above.

Native histogram series (1 in total):
- min populated: 1/1.000/1
- avg populated: 1.500/1.500/1.500
- max populated: 2/2.000/2
- total: 3/3.000/3

Classic histogram series (2 in total):
- min populated: 0/0.500/1
- avg populated: 0.500/1.083/1.667
- max populated: 1/1.500/2
- total: 1/2.000/3
`

func TestAnalyze(t *testing.T) {
	var asked string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = r.FormValue("query") + " at " + r.FormValue("time")
		_, _ = io.WriteString(w, `{"status":"success","data":{"resultType":"matrix","result":`+answer+`}}`)
	}))
	defer server.Close()
	base, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	found, _, err := Analyze(t.Context(), apiclient.New(base, server.Client(), nil), `{job="a"}`, 90*time.Second, time.Unix(7, 0))
	if err != nil || asked != `{job="a"}[90000ms] at 7` {
		t.Fatalf("asked %s: %v", asked, err)
	}
	var text strings.Builder
	if err := WriteText(&text, found); err != nil || text.String() != want {
		t.Errorf("%v, got\n%s\nwant\n%s", err, text.String(), want)
	}
}

func TestNothingFound(t *testing.T) {
	var text strings.Builder
	if err := WriteText(&text, histograms(nil)); err != nil || strings.Contains(text.String(), "histogram series") {
		t.Errorf("%v %s", err, text.String())
	}
}

// TestBucketsThatComeLater counts, at each time, the buckets that there are.
func TestBucketsThatComeLater(t *testing.T) {
	var matrix model.Matrix
	text := `[{"metric":{"__name__":"h_bucket","le":"1"},"values":[[2,"3"]]},{"metric":{"__name__":"h_bucket","le":"+Inf"},"values":[[1,"1"],[2,"4"]]}]`
	if err := json.Unmarshal([]byte(text), &matrix); err != nil {
		t.Fatal(err)
	}
	if got := histograms(matrix); len(got) != 1 || got[0].String() != "1/1.500/2" {
		t.Errorf("got %v", got)
	}
}
