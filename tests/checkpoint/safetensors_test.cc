// Every way a header can lie, and what is legal although it looks odd.
#include "runner/checkpoint/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "tests/fakes/tiny_random_model.h"

namespace glm::runner {
namespace {

using fakes::TemporaryFolder;
using testing::HasSubstr;

const std::string kHeader = R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
                            R"("b":{"dtype":"U8","shape":[3],"data_offsets":[8,11]}})"
                            "     ";

std::string le64(std::uint64_t value) {
  std::string bytes(8, '\0');
  std::memcpy(bytes.data(), &value, 8);
  return bytes;
}

std::string with_header(const std::string& header, const std::string& data) {
  return le64(header.size()) + header + data;
}

const std::string kData("\x00\x00\x80\x3f\x00\x00\x20\xc0\x10\x32\x54", 11);

class Safetensors : public testing::Test {
 protected:
  Result<SafetensorsFile> open(const std::string& bytes) {
    fakes::write_file(folder_.path() / "x.safetensors", bytes);
    return SafetensorsFile::open(folder_.path() / "x.safetensors", "x.safetensors");
  }
  std::string error(const std::string& bytes) {
    const auto file = open(bytes);
    return file.ok() ? "accepted" : file.error().message;
  }
  TemporaryFolder folder_;
};

TEST_F(Safetensors, ReadsTheMinimalFile) {
  const auto file = open(with_header(kHeader, kData));
  ASSERT_TRUE(file.ok()) << file.error().message;
  ASSERT_EQ(file->tensors().size(), 2U);
  const TensorInfo& a = file->tensors()[0];
  EXPECT_EQ(a.name, "a");
  EXPECT_EQ(describe(a), "f32 [2]");
  EXPECT_EQ(a.offset, 120U);
  float values[2];
  ASSERT_TRUE(file->read(a, 0, std::as_writable_bytes(std::span(values))).ok());
  EXPECT_EQ(values[0], 1.0F);
  EXPECT_EQ(values[1], -2.5F);
  std::byte last[1];
  ASSERT_TRUE(file->read(file->tensors()[1], 2, last).ok());
  EXPECT_EQ(last[0], std::byte{84});
}

struct HeaderCase {
  const char* name;
  std::string header;
  std::string data;
};

class LegalHeader : public Safetensors, public testing::WithParamInterface<HeaderCase> {};

TEST_P(LegalHeader, IsAccepted) {
  const auto file = open(with_header(GetParam().header, GetParam().data));
  EXPECT_TRUE(file.ok()) << file.error().message;
}

INSTANTIATE_TEST_SUITE_P(
    All, LegalHeader,
    testing::ValuesIn(std::vector<HeaderCase>{
        {"no_padding", R"({"b":{"dtype":"U8","shape":[3],"data_offsets":[0,3]}})", "abc"},
        {"scalar", R"({"b":{"dtype":"U8","shape":[],"data_offsets":[0,1]}})", "a"},
        {"zero_elements", R"({"b":{"dtype":"F32","shape":[0,5],"data_offsets":[0,0]}})", ""},
        {"nothing", "{}", ""},
        {"misaligned",
         R"({"a":{"dtype":"U8","shape":[3],"data_offsets":[0,3]},"b":{"dtype":"F32","shape":[1],"data_offsets":[3,7]}})",
         "abcdefg"},
        {"padded", R"({"b":{"dtype":"U8","shape":[3],"data_offsets":[0,3]}}     )", "abc"},
        {"name_in_any_script", R"({"é中":{"dtype":"U8","shape":[3],"data_offsets":[0,3]}})", "abc"},
        {"two_empty_tensors",
         R"({"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"b":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}})",
         ""},
        {"metadata", R"({"__metadata__":{"format":"pt"}})", ""},
        {"keys_in_any_order", R"({"b":{"data_offsets":[0,3],"shape":[3],"dtype":"U8"}})", "abc"},
        {"out_of_order",
         R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]},"b":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})",
         "ab"},
    }),
    [](const auto& test) { return test.param.name; });

struct LieCase {
  const char* name;
  std::string header;
  std::string data;
  std::string want;
};

class LyingHeader : public Safetensors, public testing::WithParamInterface<LieCase> {};

TEST_P(LyingHeader, IsRefusedByName) {
  EXPECT_EQ(error(with_header(GetParam().header, GetParam().data)),
            "x.safetensors: " + GetParam().want);
}

std::string one(const std::string& body) {
  return "{\"b\":{" + body + "}}";
}

INSTANTIATE_TEST_SUITE_P(
    All, LyingHeader,
    testing::ValuesIn(std::vector<LieCase>{
        {"trailing_byte", kHeader, kData + "x", "1 bytes follow the last tensor"},
        {"truncated", kHeader, kData.substr(0, 10),
         "tensor 'b': ends at 11, but the file has 10 bytes of data"},
        {"gap",
         R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"U8","shape":[1],"data_offsets":[2,3]}})",
         "abc", "tensor 'b': begins at 2, but the one before ends at 1"},
        {"overlap",
         R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}})",
         "abc", "tensor 'b': begins at 1, but the one before ends at 2"},
        {"shared",
         R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}})",
         "ab", "tensor 'b': begins at 0, but the one before ends at 2"},
        {"wrong_size", one(R"("dtype":"U8","shape":[4],"data_offsets":[0,3])"), "abc",
         "tensor 'b': u8 [4] takes 4 bytes, data_offsets span 3"},
        {"unknown_dtype", one(R"("dtype":"Q9","shape":[3],"data_offsets":[0,3])"), "abc",
         "header: tensor 'b': dtype 'Q9' is unknown"},
        {"f4_odd", one(R"("dtype":"F4","shape":[3,1],"data_offsets":[0,2])"), "ab",
         "header: tensor 'b': F4 [3, 1] takes 12 bits, not whole bytes"},
        {"f6_odd", one(R"("dtype":"F6_E2M3","shape":[2],"data_offsets":[0,2])"), "ab",
         "header: tensor 'b': F6_E2M3 [2] takes 12 bits, not whole bytes"},
        {"f4_wrong_size", one(R"("dtype":"F4","shape":[4],"data_offsets":[0,4])"), "abcd",
         "header: tensor 'b': F4 [4] takes 2 bytes, data_offsets span 4"},
        {"f4_overflow",
         one(R"("dtype":"F4","shape":[1099511627776,1099511627776],"data_offsets":[0,4])"), "abcd",
         "header: tensor 'b': F4 [1099511627776, 1099511627776] overflows"},
        {"dtype_is_a_page", one("\"dtype\":\"" + std::string(100'000, 'Q') + "\""), "",
         "header: tensor 'b': dtype '" + std::string(60, 'Q') + "...' is unknown"},
        {"dtype_writes_to_the_terminal", one(R"("dtype":"\u001b[2J")"), "",
         "header: tensor 'b': dtype '?[2J' is unknown"},
        {"unsupported_dtype", one(R"("dtype":"F4","shape":[2],"data_offsets":[0,1])"), "a",
         "header: tensor 'b': dtype 'F4' is not supported yet"},
        {"shape_overflow",
         one(R"("dtype":"U8","shape":[1099511627776,1099511627776],"data_offsets":[0,3])"), "abc",
         "tensor 'b': u8 [1099511627776, 1099511627776] overflows"},
        {"dimension_beyond_63_bits",
         one(R"("dtype":"U8","shape":[9223372036854775808],"data_offsets":[0,3])"), "abc",
         "header: tensor 'b': a dimension of 9223372036854775808"},
        {"dimension_beyond_any_file",
         one(R"("dtype":"U8","shape":[1099511627777,0],"data_offsets":[0,0])"), "",
         "header: tensor 'b': a dimension of 1099511627777"},
        {"zero_after_an_overflow",
         one(R"("dtype":"U8","shape":[1099511627776,1099511627776,0],"data_offsets":[0,0])"), "",
         "tensor 'b': u8 [1099511627776, 1099511627776, 0] overflows"},
        {"zero_before_an_overflow",
         one(R"("dtype":"U8","shape":[0,1099511627776,1099511627776],"data_offsets":[0,0])"), "",
         "tensor 'b': u8 [0, 1099511627776, 1099511627776] overflows"},
        {"v14_gap",
         R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"U8","shape":[3],"data_offsets":[9,12]}})",
         kData, "tensor 'b': begins at 9, but the one before ends at 8"},
        {"v14_overlap",
         R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"U8","shape":[3],"data_offsets":[7,10]}})",
         kData, "tensor 'b': begins at 7, but the one before ends at 8"},
        {"first_begins_late", one(R"("dtype":"U8","shape":[2],"data_offsets":[1,3])"), "abc",
         "tensor 'b': begins at 1, but the one before ends at 0"},
        {"offset_beyond_64_bits",
         one(R"("dtype":"U8","shape":[3],"data_offsets":[0,18446744073709551619])"), "abc",
         "header: tensor 'b': 18446744073709551619 is not an unsigned 64-bit integer"},
        {"offsets_near_the_end",
         one(R"("dtype":"U8","shape":[3],"data_offsets":[18446744073709551612,18446744073709551615])"),
         "abc", "tensor 'b': begins at 18446744073709551612, but the one before ends at 0"},
        {"negative", one(R"("dtype":"U8","shape":[-1],"data_offsets":[0,3])"), "abc",
         "header: tensor 'b': negative number -1"},
        {"fraction", one(R"("dtype":"U8","shape":[3.0],"data_offsets":[0,3])"), "abc",
         "header: tensor 'b': 3.0 is not an unsigned 64-bit integer"},
        {"backwards", one(R"("dtype":"U8","shape":[3],"data_offsets":[3,0])"), "abc",
         "header: tensor 'b': ends before it begins"},
        {"three_offsets", one(R"("dtype":"U8","shape":[3],"data_offsets":[0,3,3])"), "abc",
         "header: tensor 'b': data_offsets holds more than two numbers"},
        {"one_offset", one(R"("dtype":"U8","shape":[3],"data_offsets":[3])"), "abc",
         "header: tensor 'b': data_offsets wants two numbers"},
        {"missing_key", one(R"("dtype":"U8","shape":[3])"), "abc",
         "header: tensor 'b': wants dtype, shape and data_offsets"},
        {"extra_key", one(R"("dtype":"U8","shape":[3],"data_offsets":[0,3],"x":1)"), "abc",
         "header: tensor 'b': unexpected or repeated key 'x'"},
        {"repeated_key", one(R"("dtype":"U8","dtype":"U8","shape":[3],"data_offsets":[0,3])"),
         "abc", "header: tensor 'b': unexpected or repeated key 'dtype'"},
        {"repeated_name",
         R"({"b":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})",
         "a", "header: duplicate tensor 'b'"},
        {"metadata_is_a_number", R"({"__metadata__":{"format":1}})", "",
         "header: a number where none belongs"},
        {"metadata_twice", R"({"__metadata__":{},"__metadata__":{}})", "",
         "header: duplicate __metadata__"},
        {"metadata_key_twice", R"({"__metadata__":{"a":"1","a":"2"}})", "",
         "header: duplicate key in __metadata__"},
        {"metadata_is_text", R"({"__metadata__":"pt"})", "", "header: a string where none belongs"},
        {"metadata_is_nested", R"({"__metadata__":{"format":{}}})", "",
         "header: an object where none belongs"},
        {"rank_nine", one(R"("dtype":"U8","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[0,1])"), "a",
         "header: tensor 'b': more than 8 dimensions"},
        {"tensor_is_a_list", R"({"b":[]})", "", "header: tensor 'b': an array where none belongs"},
        {"nested_shape", one(R"("dtype":"U8","shape":[[3]],"data_offsets":[0,3])"), "abc",
         "header: tensor 'b': an array where none belongs"},
        {"empty_name", R"({"":{}})", "", "header: a tensor name of 0 bytes: ''"},
        {"long_name", "{\"" + std::string(513, 'n') + "\":{}}", "",
         "header: a tensor name of 513 bytes: '" + std::string(60, 'n') + "...'"},
        {"control_character", R"({"a\nb":{}})", "", "header: a tensor name of 3 bytes: 'a?b'"},
        {"invalid_utf8", "{\"\xff\":{}}", "", "header: not valid JSON at byte 3"},
        {"nul_padding", R"({})" + std::string(6, '\0'), "",
         "header: not valid JSON: it holds a NUL byte"},
        {"array", "[]", "", "the header does not begin with '{'"},
        {"leading_blank", " {}", "", "the header does not begin with '{'"},
        {"cut_json", "{", "", "header: not valid JSON at byte 2"},
        {"two_values", "{}{}", "", "header: not valid JSON at byte 3"},
    }),
    [](const auto& test) { return test.param.name; });

TEST_F(Safetensors, DoesNotBelieveTheLengthOfTheHeader) {
  EXPECT_EQ(error(""), "x.safetensors: 0 bytes are too few for a safetensors file");
  EXPECT_EQ(error("1234567"), "x.safetensors: 7 bytes are too few for a safetensors file");
  EXPECT_EQ(error(le64(1ULL << 63U) + "{}"),
            "x.safetensors: claims a header of 9223372036854775808 bytes, the limit is 100000000");
  EXPECT_EQ(error(le64(100'000'001) + "{}"),
            "x.safetensors: claims a header of 100000001 bytes, the limit is 100000000");
  EXPECT_EQ(error(le64(100'000'000) + "{}"),
            "x.safetensors: claims a header of 100000000 bytes, but the file has 10");
  EXPECT_EQ(error(le64(3) + "{}"),
            "x.safetensors: claims a header of 3 bytes, but the file has 10");
  EXPECT_EQ(error(le64(0)), "x.safetensors: the header does not begin with '{'");
}

TEST_F(Safetensors, SurvivesDeepNesting) {
  std::string deep = "{\"b\":";
  for (int i = 0; i < 100'000; ++i) deep += "[";
  EXPECT_THAT(error(with_header(deep, "")), HasSubstr("an array where none belongs"));
}

TEST_F(Safetensors, NoticesAFileThatShrinks) {
  const auto file = open(with_header(kHeader, kData));
  ASSERT_TRUE(file.ok());
  std::filesystem::resize_file(folder_.path() / "x.safetensors", 124);
  std::byte bytes[8];
  const Status status = file->read(file->tensors()[0], 0, bytes);
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code, Errc::corrupt);
  EXPECT_EQ(status.error().message, "tensor 'a': x.safetensors: ends at byte 124, wanted 4 more");
}

// Any single byte changed, any prefix: an answer, never a crash, and never a tensor past the end.
TEST_F(Safetensors, AnswersToEveryDamage) {
  const std::string good = with_header(kHeader, kData);
  for (std::size_t at = 0; at < 8 + kHeader.size(); ++at) {
    for (const int change : {1, 2, 4, 16, 64, 128}) {
      std::string bad = good;
      bad[at] = static_cast<char>(bad[at] ^ change);
      const auto file = open(bad);
      if (!file.ok()) continue;
      for (const TensorInfo& tensor : file->tensors()) {
        ASSERT_LE(tensor.offset + tensor.size_bytes, bad.size());
      }
    }
  }
  for (std::size_t size = 0; size < good.size(); ++size) {
    EXPECT_FALSE(open(good.substr(0, size)).ok());
  }
}

}  // namespace
}  // namespace glm::runner
