package api

import (
	"encoding/json"
	"net/url"
	"reflect"
	"testing"
)

func TestParseQuery(t *testing.T) {
	h := newAPI(t)
	selector := func(name, more string) string {
		return `{"type":"vectorSelector","name":"` + name + `","matchers":[` + more + `{"name":"__name__","type":"=","value":"` + name + `"}],` +
			`"anchored":false,"smoothed":false,"offset":0,"offsetExpr":null,"timestamp":null,"startOrEnd":null}`
	}
	for query, want := range map[string]string{
		`1`:           `{"type":"numberLiteral","val":"1"}`,
		`"a\n"`:       `{"type":"stringLiteral","val":"a\n"}`,
		`-(up)`:       `{"type":"unaryExpr","op":"-","expr":{"type":"parenExpr","expr":` + selector("up", "") + `}}`,
		`up{a!~"b"}`:  selector("up", `{"name":"a","type":"!~","value":"b"},`),
		`time()`:      `{"type":"call","args":[],"func":{"name":"time","argTypes":[],"variadic":0,"returnType":"scalar"}}`,
		`2 > bool up`: `{"type":"binaryExpr","op":">","lhs":{"type":"numberLiteral","val":"2"},"rhs":` + selector("up", "") + `,"matching":null,"bool":true}`,
		`a * on (x) group_left (y) b`: `{"type":"binaryExpr","op":"*","lhs":` + selector("a", "") + `,"rhs":` + selector("b", "") + `,"bool":false,` +
			`"matching":{"card":"many-to-one","labels":["x"],"on":true,"include":["y"],"fillValues":{"lhs":null,"rhs":null}}}`,
		`topk by (x) (3, a)`: `{"type":"aggregation","op":"topk","expr":` + selector("a", "") + `,"param":{"type":"numberLiteral","val":"3"},"grouping":["x"],"without":false}`,
		`a[5m] offset -1m @ end()`: `{"type":"matrixSelector","name":"a","matchers":[{"name":"__name__","type":"=","value":"a"}],"range":300000,"rangeExpr":null,` +
			`"anchored":false,"smoothed":false,"offset":-60000,"offsetExpr":null,"timestamp":null,"startOrEnd":"end"}`,
		`a offset (2m)`: `{"type":"vectorSelector","name":"a","matchers":[{"name":"__name__","type":"=","value":"a"}],"anchored":false,"smoothed":false,` +
			`"offset":0,"offsetExpr":{"type":"durationExpr","op":"+","lhs":null,"rhs":{"type":"numberLiteral","val":"120","duration":true},"wrapped":true},` +
			`"timestamp":null,"startOrEnd":null}`,
		`a offset +step()`: `{"type":"vectorSelector","name":"a","matchers":[{"name":"__name__","type":"=","value":"a"}],"anchored":false,"smoothed":false,` +
			`"offset":0,"offsetExpr":{"type":"durationExpr","op":"+","lhs":null,"rhs":{"type":"durationExpr","op":"step","lhs":null,"rhs":null,"wrapped":false},` +
			`"wrapped":false},"timestamp":null,"startOrEnd":null}`,
		`a offset + +step()`: `{"type":"vectorSelector","name":"a","matchers":[{"name":"__name__","type":"=","value":"a"}],"anchored":false,"smoothed":false,` +
			`"offset":0,"offsetExpr":{"type":"durationExpr","op":"step","lhs":null,"rhs":null,"wrapped":false},"timestamp":null,"startOrEnd":null}`,
		`a[10m:step() * 2] @ 3`: `{"type":"subquery","expr":` + selector("a", "") + `,"range":600000,"rangeExpr":null,"step":0,"stepExpr":{"type":"durationExpr",` +
			`"op":"*","lhs":{"type":"durationExpr","op":"step","lhs":null,"rhs":null,"wrapped":false},"rhs":{"type":"numberLiteral","val":"2","duration":false},"wrapped":false},` +
			`"offset":0,"offsetExpr":null,"timestamp":3000,"startOrEnd":null}`,
	} {
		status, body := call(t, h, "/parse_query?query="+url.QueryEscape(query), "")
		var got, expected any
		if err := json.Unmarshal([]byte(body), &got); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(`{"status":"success","data":`+want+`}`), &expected); err != nil {
			t.Fatal(err)
		}
		if status != 200 || !reflect.DeepEqual(got, expected) {
			t.Errorf("%s\n got %s\nwant %s", query, body, want)
		}
	}
	if status, body := call(t, h, "/parse_query?query=up%7B", ""); status != 400 {
		t.Errorf("got %d %s", status, body)
	}
}
