package storagetest_test

import (
	"testing"

	"github.com/narthex-io/narthex/storage/storagetest"
)

func TestStore(t *testing.T) {
	storagetest.Run(t, func(*testing.T) storagetest.Storage { return storagetest.NewStore() })
}
