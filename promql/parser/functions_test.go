package parser

import "testing"

func TestTableOfFunctions(t *testing.T) {
	all := Functions()
	for i := 1; i < len(all); i++ {
		if all[i-1].Name >= all[i].Name {
			t.Errorf("the table is ordered by name, and %s must not stand before %s", all[i-1].Name, all[i].Name)
		}
	}
	for _, f := range all {
		if got, ok := LookupFunction(f.Name); !ok || got.Name != f.Name {
			t.Errorf("%s is not found", f.Name)
		}
		if f.Variadic != 0 && len(f.ArgTypes) == 0 {
			t.Errorf("%s repeats an argument that it does not have", f.Name)
		}
	}
	if _, ok := LookupFunction("nope"); ok {
		t.Error("nope is a function")
	}
}
