package exec

import "testing"

func TestSmallQueriesDoNotGoForLargeOnes(t *testing.T) {
	s := &SharedBudget{Max: 1000}
	var large, small Usage
	leave := s.Enter(&large)
	defer s.Enter(&small)()
	large.addBytes(950)
	if small.addBytes(40); small.exceeded() || large.exceeded() {
		t.Error("exceeded before it is")
	}
	if small.addBytes(20); small.exceeded() || !large.exceeded() {
		t.Error("the wrong one is to go")
	}
	leave()
	if small.addBytes(900); small.exceeded() {
		t.Error("what has gone still counts")
	}
}
