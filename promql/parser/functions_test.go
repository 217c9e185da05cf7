package parser

import (
	"cmp"
	"slices"
	"testing"
)

func TestTableOfFunctions(t *testing.T) {
	all := Functions()
	if !slices.IsSortedFunc(all, func(a, b Function) int { return cmp.Compare(a.Name, b.Name) }) {
		t.Error("the table is not sorted")
	}
	experimental := 0
	for _, f := range all {
		if f.Experimental {
			experimental++
		}
		if got, ok := LookupFunction(f.Name); !ok || got.Name != f.Name {
			t.Errorf("%s is not found", f.Name)
		}
		if f.Variadic != 0 && len(f.ArgTypes) == 0 {
			t.Errorf("%s repeats an argument that it does not have", f.Name)
		}
	}
	if len(all) != 90 || experimental != 17 {
		t.Errorf("there are %d functions, %d of them experimental", len(all), experimental)
	}
	if _, ok := LookupFunction("nope"); ok {
		t.Error("nope is a function")
	}
}
