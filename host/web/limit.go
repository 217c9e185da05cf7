package web

import (
	"errors"
	"net"
	"sync"
)

// sharedLimit is a listener that shares a bound of open connections with others.
type sharedLimit struct {
	net.Listener
	places chan struct{}
	closed chan struct{}
	once   sync.Once
}

// Accept waits for a connection, then for a free place, so that a listener without clients holds none.
func (l *sharedLimit) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	select {
	case l.places <- struct{}{}:
		return &placedConn{Conn: conn, places: l.places}, nil
	case <-l.closed:
		return nil, errors.Join(net.ErrClosed, conn.Close())
	}
}

// Close ends Accept too.
func (l *sharedLimit) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// placedConn gives its place back when it is closed.
type placedConn struct {
	net.Conn
	places chan struct{}
	once   sync.Once
}

// Close closes the connection.
func (c *placedConn) Close() error {
	err := c.Conn.Close()
	c.once.Do(func() { <-c.places })
	return err
}
