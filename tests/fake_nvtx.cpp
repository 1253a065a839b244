// tests/fake_nvtx.cpp — NVTX's library as a double: it writes the ranges it is given to the file in FAKE_NVTX_LOG.
#include <cstdio>
#include <cstdlib>

namespace {

int depth = 0;

void write_line(const char* what, const char* text) {
  std::FILE* const file = std::fopen(std::getenv("FAKE_NVTX_LOG"), "a");
  std::fprintf(file, "%s %s\n", what, text);
  std::fclose(file);
}

}  // namespace

extern "C" int nvtxRangePushA(const char* message) {
  write_line("push", message);
  return depth++;
}

extern "C" int nvtxRangePop() {
  write_line("pop", "");
  return --depth;
}
