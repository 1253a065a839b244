// tests/files/mutation_test.cpp — thousands of damaged model files: each gives a model or FileError, in little memory.
#include <malloc.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <new>
#include <random>

#include "tests/files/support.hpp"

// What is allocated by `new` in this process, library included; AddressSanitizer wants to keep these for itself.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define SPARSERT_TEST_COUNTS_MEMORY 1
namespace {
std::atomic<std::size_t> live_bytes{0};
std::atomic<std::size_t> peak_bytes{0};
}  // namespace

void* operator new(std::size_t bytes) {
  void* const data = std::malloc(bytes);
  if (data == nullptr) throw std::bad_alloc();
  const std::size_t live = live_bytes += malloc_usable_size(data);
  std::size_t peak = peak_bytes;
  while (live > peak && !peak_bytes.compare_exchange_weak(peak, live)) {
  }
  return data;
}
void operator delete(void* data) noexcept {
  live_bytes -= malloc_usable_size(data);
  std::free(data);
}
void operator delete(void* data, std::size_t) noexcept { operator delete(data); }
// The forms that do not throw are replaced too: one allocator must serve both ends.
void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {
  try {
    return operator new(bytes);
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}
void operator delete(void* data, const std::nothrow_t&) noexcept { operator delete(data); }
#endif

namespace sparsert::test {
namespace {

// The highest number of bytes that were allocated at once while `action` ran, beyond those before; 0 if not counted.
template <class Action>
std::size_t peak_of(Action&& action) {
#ifdef SPARSERT_TEST_COUNTS_MEMORY
  const std::size_t before = live_bytes;
  peak_bytes = before;
  action();
  return peak_bytes - before;
#else
  action();
  return 0;
#endif
}

std::vector<std::string> seeds(const std::filesystem::path& path) {
  std::vector<std::string> files;
  StateDict state;
  state.insert("layer.0.weight", Tensor::from(std::vector<float>{1, 2, 3, 4, 5, 6}, {2, 3}));
  state.insert("layer.0.bias", Tensor::from(std::vector<std::int64_t>{7, 8}, {2}));
  state.insert("flag", Tensor::from(std::vector<std::uint8_t>{0, 1, 1}, {3}));
  state.insert("empty", Tensor::empty({0, 4}, DType::float16));
  state.insert("scalar", Tensor::from(std::vector<double>{0.5}, {}));
  state.metadata() = {{"format", "pt"}, {"note", "\xc3\xa9"}};
  save(path, state);
  files.push_back(read_file(path));
  files.push_back(container("{}"));
  files.push_back(container(header({entry("b", "BOOL", "[4]", "[0,4]"), entry("q", "F4", "[2]", "[4,5]")}),
                            std::string("\0\1\1\0\7", 5)));
  files.push_back(
      container(header({entry("a", "U8", "[0]", "[0,0]"), entry("b", "BF16", "[1,1,2]", "[0,4]")}), "wxyz"));
  return files;
}

class Mutator {
 public:
  explicit Mutator(std::uint64_t seed) : random_(seed) {}

  std::string mutate(std::string bytes) {
    const std::size_t times = 1 + pick(3);
    for (std::size_t i = 0; i < times; ++i) {
      const std::size_t before = bytes.size();
      mutate_once(bytes);
      // In most cases the length goes with the header, so that what is behind it is reached.
      if (bytes.size() != before && before >= 8 && bytes.size() >= 8 && pick(4) != 0) shift_length(bytes, before);
    }
    return bytes;
  }

 private:
  std::size_t pick(std::size_t n) { return static_cast<std::size_t>(random_() % n); }

  void mutate_once(std::string& bytes) {
    static constexpr const char* kTokens[] = {"0",
                                              "1",
                                              "-1",
                                              "-0",
                                              "1e3",
                                              "9223372036854775807",
                                              "18446744073709551615",
                                              "18446744073709551616",
                                              "{",
                                              "}",
                                              "[",
                                              "]",
                                              ",",
                                              ":",
                                              "\"",
                                              "\\u0000",
                                              " ",
                                              "null",
                                              "F32",
                                              "U8",
                                              "BOOL",
                                              "\"shape\":[1]",
                                              "4294967296",
                                              "__metadata__",
                                              "\xff",
                                              "\n"};
    const std::size_t at = bytes.empty() ? 0 : pick(bytes.size());
    switch (pick(8)) {
      case 0:
        if (!bytes.empty()) bytes[at] = static_cast<char>(random_());
        break;
      case 1:
        if (!bytes.empty()) bytes[at] = static_cast<char>(bytes[at] ^ (1 << pick(8)));
        break;
      case 2: bytes.erase(at, 1 + pick(8)); break;
      case 3: bytes.insert(at, kTokens[pick(std::size(kTokens))]); break;
      case 4: replace_number(bytes, kTokens[pick(8)]); break;
      case 5: bytes.insert(at, bytes.substr(at, 1 + pick(64))); break;
      case 6: bytes.resize(at); break;
      default: bytes.append(pick(16), 'z');
    }
  }

  void replace_number(std::string& bytes, const char* by) {
    constexpr std::string_view kDigits = "0123456789";
    if (bytes.size() <= 8) return;
    const std::size_t begin = bytes.find_first_of(kDigits, 8 + pick(bytes.size() - 8));
    if (begin == bytes.npos) return;
    const std::size_t end = std::min(bytes.find_first_not_of(kDigits, begin), bytes.size());
    bytes.replace(begin, end - begin, by);
  }

  static void shift_length(std::string& bytes, std::size_t before) {
    std::uint64_t length = 0;
    for (std::size_t i = 8; i-- > 0;) length = length << 8 | static_cast<unsigned char>(bytes[i]);
    bytes.replace(0, 8, little_endian(length + bytes.size() - before));
  }

  std::mt19937_64 random_;
};

TEST(Mutations, GiveAModelOrAFileErrorInLittleMemory) {
  constexpr int kMutations = 20'000;
  const TemporaryFolder folder;
  const auto path = folder / "a.safetensors";
  const std::vector<std::string> files = seeds(path);
  Mutator mutator(20'000);
  int models = 0;
  std::size_t peak = 0;
  for (int i = 0; i < kMutations; ++i) {
    const std::string bytes = mutator.mutate(files[static_cast<std::size_t>(i) % files.size()]);
    write_file(path, bytes);
    peak = std::max(peak, peak_of([&] {
                      try {
                        const StateDict state = load(path);
                        // What was loaded is the whole file: length, header, and every byte of the data. A few bytes
                        // may be a model without tensors in another format.
                        if (state.nbytes() > 0) {
                          ASSERT_LE(static_cast<std::size_t>(state.nbytes()) + 10, bytes.size());
                        }
                        ++models;
                      } catch (const FileError&) {
                      }
                    }));
  }
  // Some hundred bytes of file, so a few KiB of strings and tensors; the exceptions' messages are in it.
  EXPECT_LT(peak, std::size_t{64} << 10);
  EXPECT_GT(models, kMutations / 100) << "the mutations do not get past the first check";
  EXPECT_LT(models, kMutations / 2) << "the mutations change nothing";
}

TEST(Mutations, WhatLoadsSavesAndLoadsTheSame) {
  const TemporaryFolder folder;
  const auto path = folder / "a.safetensors";
  const auto again = folder / "b.safetensors";
  const std::vector<std::string> files = seeds(path);
  Mutator mutator(7);
  int compared = 0;
  for (int i = 0; i < 2000 && compared < 50; ++i) {
    write_file(path, mutator.mutate(files[static_cast<std::size_t>(i) % files.size()]));
    StateDict state;
    try {
      state = load(path);
    } catch (const FileError&) {
      continue;
    }
    save(again, state);
    const StateDict back = load(again);
    ASSERT_EQ(back.size(), state.size());
    EXPECT_EQ(back.metadata(), state.metadata());
    for (std::size_t t = 0; t < back.size(); ++t) {
      EXPECT_EQ(back.entries()[t].first, state.entries()[t].first);
      EXPECT_FALSE(equivalence::first_difference(back.entries()[t].second, state.entries()[t].second).has_value());
    }
    ++compared;
  }
  EXPECT_GE(compared, 20);
}

// A header that is as large as the format allows, all of it entries that are as small as can be.
TEST(Mutations, ManyTinyTensorsStayUnderAKibibyteEach) {
  const TemporaryFolder folder;
  const auto path = folder / "a.safetensors";
  constexpr int kTensors = 20'000;
  std::string text = "{";
  for (int i = 0; i < kTensors; ++i) {
    if (i != 0) text += ',';
    text += entry(std::to_string(i), "U8", "[0]", "[0,0]");
  }
  write_file(path, container(text += '}'));
  std::size_t size = 0;
  const std::size_t peak = peak_of([&] { size = load(path).size(); });
  EXPECT_EQ(size, static_cast<std::size_t>(kTensors));
  EXPECT_LT(peak, text.size() + kTensors * std::size_t{1024});
}

}  // namespace
}  // namespace sparsert::test
