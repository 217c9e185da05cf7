package parser

import (
	"errors"
	"fmt"

	"github.com/narthex-io/narthex/model/labels"
)

// Two bounds keep any text from exhausting the stack of the parser or of those that walk its tree.
const (
	// maxDepth bounds how deep expressions may nest. Chains of operators such as a + b + c do not nest, except those of
	// ^ and of signs.
	maxDepth = 2000
	// maxOperators bounds the length of all chains together: they make the tree deep on its left side.
	maxOperators = 100_000
)

// Options enable parts of the language that are not on by default. The zero value is upstream's default.
type Options struct {
	// EnableExperimentalFunctions allows the functions and aggregations marked as experimental.
	EnableExperimentalFunctions bool
	// EnableExtendedRangeSelectors allows the modifiers anchored and smoothed.
	EnableExtendedRangeSelectors bool
	// EnableBinopFillModifiers allows fill, fill_left and fill_right.
	EnableBinopFillModifiers bool
	// Ended, if set, is asked now and then; an error ends the parsing and is returned as it is.
	Ended func() error
}

// Parser parses texts. It holds nothing but its options, and may be used from any number of goroutines.
type Parser struct{ opts Options }

// New returns a parser.
func New(opts Options) *Parser { return &Parser{opts: opts} }

// Unless returns a parser that also gives up when ended, which it asks now and then, returns an error.
func (p *Parser) Unless(ended func() error) *Parser {
	opts := p.opts
	opts.Ended = ended
	return New(opts)
}

// ParseExpr parses an expression and checks the types in it. An error is of type [ParseErrors], but for that of
// [Options.Ended].
func (p *Parser) ParseExpr(input string) (Expr, error) {
	s := p.newState(input)
	e := s.whole(func() Expr {
		if s.tok.kind == tokEOF {
			s.fail(PositionRange{}, errors.New("no expression found in input"))
		}
		return s.expr()
	})
	if s.ended != nil {
		return nil, s.ended
	}
	if e != nil && len(s.errs) == 0 {
		s.check(e)
	}
	if len(s.errs) > 0 {
		return nil, s.errs
	}
	return e, nil
}

// ParseMetricSelector parses a selector without modifiers, such as up{job="node"}, and returns its matchers. Unlike in
// an expression it may select everything. An error is of type [ParseErrors], but for that of [Options.Ended].
func (p *Parser) ParseMetricSelector(input string) ([]*labels.Matcher, error) {
	s := p.newState(input)
	e := s.whole(func() Expr {
		if s.tok.kind != tokLeftBrace && !s.tok.isMetricName() {
			s.unexpected("", "")
		}
		return s.vectorSelector()
	})
	if s.ended != nil {
		return nil, s.ended
	}
	if len(s.errs) > 0 {
		return nil, s.errs
	}
	return e.(*VectorSelector).Matchers, nil
}

// ParseMetricSelectors parses selectors, such as those of the match[] parameters of the HTTP API.
func (p *Parser) ParseMetricSelectors(inputs []string) ([][]*labels.Matcher, error) {
	sets := make([][]*labels.Matcher, 0, len(inputs))
	for _, input := range inputs {
		set, err := p.ParseMetricSelector(input)
		if err != nil {
			return nil, err
		}
		sets = append(sets, set)
	}
	return sets, nil
}

// ParseMetric parses the name and labels of one series, such as up{job="node"}. An error is of type [ParseErrors].
func (p *Parser) ParseMetric(input string) (labels.Labels, error) {
	s := p.newState(input)
	var ls labels.Labels
	s.whole(func() Expr {
		ls = s.metric()
		return nil
	})
	if s.ended != nil {
		return labels.EmptyLabels(), s.ended
	}
	if len(s.errs) > 0 {
		return labels.EmptyLabels(), s.errs
	}
	return ls, nil
}

// state is the parsing of one text: recursive descent with one token ahead.
type state struct {
	opts Options
	lex  lexer
	// tok is the token that is to be parsed next; prevEnd is where the one before it ended.
	tok     token
	prevEnd int
	errs    ParseErrors
	depth   int
	// tokens counts those that were read; ended is why parsing was given up before its end.
	tokens int
	ended  error
	// operators counts those of all chains.
	operators int
	// aggregations counts those whose arguments are being parsed: their errors say so.
	aggregations int
}

func (p *Parser) newState(input string) *state {
	return &state{opts: p.opts, lex: lexer{input: input}}
}

// abort unwinds the parser after an error that leaves nothing to go on with. No method of Parser lets it out.
type abort struct{}

// whole parses all of the text by parse.
func (s *state) whole(parse func() Expr) (e Expr) {
	defer func() {
		if r := recover(); r != nil {
			if _, ok := r.(abort); !ok {
				panic(r)
			}
		}
	}()
	s.advance()
	e = parse()
	if s.tok.kind != tokEOF {
		s.unexpected("", "")
	}
	return e
}

// advance reads the next token.
func (s *state) advance() {
	if s.tokens++; s.tokens%1024 == 0 {
		s.checkEnd()
	}
	s.prevEnd = s.tok.pos.End
	s.tok = s.lex.next()
	if s.tok.kind == tokError {
		s.fail(s.tok.pos, errors.New(s.tok.text))
	}
}

// checkEnd gives up if the caller says so.
func (s *state) checkEnd() {
	if s.opts.Ended == nil {
		return
	}
	if s.ended = s.opts.Ended(); s.ended != nil {
		panic(abort{})
	}
}

// take returns the token and reads the next one.
func (s *state) take() token {
	t := s.tok
	s.advance()
	return t
}

// expect takes a token of the kind, or gives up.
func (s *state) expect(kind tokenKind, context, expected string) token {
	if s.tok.kind != kind {
		s.unexpected(context, expected)
	}
	return s.take()
}

// parenFollows reports whether the token behind the next one is a left parenthesis.
func (s *state) parenFollows() bool {
	ahead := s.lex
	t := ahead.next()
	return t.kind == tokLeftParen
}

// add notes an error; parsing goes on.
func (s *state) add(pos PositionRange, err error) {
	s.errs = append(s.errs, ParseErr{PositionRange: pos, Err: err, Query: s.lex.input})
}

func (s *state) addf(pos PositionRange, format string, args ...any) {
	s.add(pos, fmt.Errorf(format, args...))
}

// fail notes an error and gives up.
func (s *state) fail(pos PositionRange, err error) {
	s.add(pos, err)
	panic(abort{})
}

// unexpected gives up at the next token. The context says inside of what, expected says what could stand there; both
// may be empty.
func (s *state) unexpected(context, expected string) {
	if context == "" && s.aggregations > 0 {
		context = "aggregation"
	}
	msg := "unexpected " + s.tok.String()
	if context != "" {
		msg += " in " + context
	}
	if expected != "" {
		msg += ", expected " + expected
	}
	s.fail(s.tok.pos, errors.New(msg))
}

// enter counts one level of nesting; the caller leaves it by s.depth--.
func (s *state) enter() {
	if s.depth++; s.depth > maxDepth {
		s.fail(s.tok.pos, errTooDeep)
	}
}

// lengthen counts one more operator in a chain.
func (s *state) lengthen() {
	if s.operators++; s.operators > maxOperators {
		s.fail(s.tok.pos, errTooLong)
	}
}

// since returns the range from start to the end of what has been parsed.
func (s *state) since(start int) PositionRange { return PositionRange{start, s.prevEnd} }
