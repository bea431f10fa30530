// Runs a fuzzer's entry over the files of a folder, and over nothing at all.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

int main(int argc, char** argv) {
  if (argc != 2) return std::fprintf(stderr, "usage: %s CORPUS\n", argv[0]), 2;
  std::error_code error;
  std::filesystem::directory_iterator files(argv[1], error);
  if (error) return std::fprintf(stderr, "%s: %s\n", argv[1], error.message().c_str()), 1;
  LLVMFuzzerTestOneInput(nullptr, 0);
  int count = 0;
  for (const auto& file : files) {
    std::printf("%s\n", file.path().c_str());
    std::ifstream stream(file.path(), std::ios::binary);
    const std::string bytes{std::istreambuf_iterator<char>(stream), {}};
    LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
    ++count;
  }
  return count > 0 ? 0 : 1;
}
