package rules

import (
	"maps"

	"github.com/narthex-io/narthex/model/labels"
)

// Duplicate is a rule that says, of a series or alert with the same name and labels, something that another rule of the
// file says, too: most likely one of them is left over.
type Duplicate struct {
	Name   string
	Labels labels.Labels
	// Count is the number of such rules.
	Count int
}

// Duplicates returns the rules of a file that occur more than once, in the order of the file.
func (f *File) Duplicates() (found []Duplicate) {
	at := map[string]int{}
	var all []Duplicate
	for _, g := range f.Groups {
		for _, r := range g.Rules {
			ls := map[string]string{}
			maps.Copy(ls, g.Labels)
			maps.Copy(ls, r.Labels)
			d := Duplicate{Name: r.Name(), Labels: labels.FromMap(ls)}
			key := d.Name + "\x00" + d.Labels.String()
			i, ok := at[key]
			if !ok {
				i = len(all)
				at[key] = i
				all = append(all, d)
			}
			all[i].Count++
		}
	}
	for _, d := range all {
		if d.Count > 1 {
			found = append(found, d)
		}
	}
	return found
}
