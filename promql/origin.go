package promql

// Origin says where a query comes from. It is part of the query log, and decides the order in which waiting queries get a
// place. The zero value means that nothing is known.
type Origin struct {
	// Request is set for the query of an HTTP client, Rule for that of a rule.
	Request *RequestOrigin `json:"httpRequest,omitempty"`
	Rule    *RuleOrigin    `json:"ruleGroup,omitempty"`
}

// RequestOrigin is an HTTP request.
type RequestOrigin struct {
	ClientIP string `json:"clientIP"`
	Method   string `json:"method"`
	Path     string `json:"path"`
	// User is who sent it, if that is known.
	User string `json:"user,omitempty"`
}

// RuleOrigin is a group of rules.
type RuleOrigin struct {
	File string `json:"file"`
	Name string `json:"name"`
}

// key identifies who waits: a client by its user or else by its address, a group of rules by file and name.
func (o *Origin) key() string {
	switch {
	case o.Rule != nil:
		return o.Rule.File + "\x00" + o.Rule.Name
	case o.Request != nil && o.Request.User != "":
		return "user\x00" + o.Request.User
	case o.Request != nil:
		return o.Request.ClientIP
	default:
		return ""
	}
}
