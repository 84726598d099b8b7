// main of codegen_test: the tests, or a worker as TERN_TEST_WORKER says (see
// KernelCompilerTest.cpp).
#include "compiler/CodeGen/KernelWorker.h"
#include "gtest/gtest.h"
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <unistd.h>

static int playWorker(std::string_view part, int argc, char **argv) {
  std::string run = std::string(getenv("TERN_TEST_RUNS")) + "/" + std::to_string(getpid());
  if (FILE *file = fopen(run.c_str(), "w"))
    fclose(file);
  if (part == "crash") {
    fputs("last words\n", stderr);
    fflush(stderr);
    abort();
  }
  if (part == "complain") {
    fputs("no algorithm for this\n", stderr);
    return 1;
  }
  printf("%s %s\n", argv[2], argv[3]);
  for (int c; (c = getchar()) != EOF;)
    putchar(c);
  return 0;
}

int main(int argc, char **argv) {
  if (tern::isKernelWorkerCommand(argc, argv)) {
    const char *part = getenv("TERN_TEST_WORKER");
    return part ? playWorker(part, argc, argv) : tern::runKernelWorker(argc, argv);
  }
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
