/* Sizes of the toy model, shared by its kernels and the tests. */
#ifndef TERN_TEST_UNIT_RUNTIME_TOYMODEL_H
#define TERN_TEST_UNIT_RUNTIME_TOYMODEL_H

enum {
  TOY_WIDTH = 16,
  TOY_VOCABULARY = 101,
  TOY_LOGITS_STRIDE = 112,
  TOY_MAX_BATCH = 24,
  TOY_MAX_WANTED = 5,
  TOY_CONTEXT = 1000
};

#endif
