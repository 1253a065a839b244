// bench/main.cpp — sparsert-bench: the same as `sparsert bench`, for a build tree without tools.
#include "bench/report.hpp"

int main(int argc, char** argv) { return sparsert::bench::bench_main(argc, argv, "sparsert-bench"); }
