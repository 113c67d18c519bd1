# Generates C from .proto files.
#
# protoc-c 1.4 refuses proto3 `optional`. On the wire `optional T x = n;` is the same as a
# oneof with one member, so the C side is generated from a copy in which each such field is
# `oneof has_x { T x = n; }`. In C, `has_x_case != 0` says whether x is set.
set(PROTO_ROOT ${PROJECT_SOURCE_DIR}/proto)
set(PROTO_OUT ${PROJECT_BINARY_DIR}/protocol)

# waybill_generate(OUT_SOURCES file...): adds rules for each .proto, named from PROTO_ROOT.
function(waybill_generate out_sources)
  foreach(proto ${ARGN})
    string(REGEX REPLACE "\\.proto$" "" stem ${proto})
    set(plain ${PROTO_OUT}/plain/${proto})
    add_custom_command(
      OUTPUT ${plain}
      COMMAND ${CMAKE_COMMAND} -DIN=${PROTO_ROOT}/${proto} -DOUT=${plain}
              -P ${PROJECT_SOURCE_DIR}/cmake/optional_to_oneof.cmake
      DEPENDS ${PROTO_ROOT}/${proto} ${PROJECT_SOURCE_DIR}/cmake/optional_to_oneof.cmake
      VERBATIM)
    list(APPEND plain_files ${plain})
    list(APPEND stems ${stem})
  endforeach()
  foreach(stem ${stems})
    set(generated ${PROTO_OUT}/c/${stem}.pb-c.c ${PROTO_OUT}/c/${stem}.pb-c.h)
    add_custom_command(
      OUTPUT ${generated}
      COMMAND ${PROTOC_C} --proto_path=${PROTO_OUT}/plain --c_out=${PROTO_OUT}/c ${stem}.proto
      DEPENDS ${plain_files}
      VERBATIM)
    list(APPEND sources ${generated})
  endforeach()
  set(${out_sources} ${sources} PARENT_SCOPE)
endfunction()

# The well-known types come with protoc; only their C code is missing in Debian.
function(waybill_generate_well_known out_sources)
  foreach(name ${ARGN})
    set(generated ${PROTO_OUT}/c/google/protobuf/${name}.pb-c.c ${PROTO_OUT}/c/google/protobuf/${name}.pb-c.h)
    add_custom_command(
      OUTPUT ${generated}
      COMMAND ${PROTOC_C} --proto_path=/usr/include --c_out=${PROTO_OUT}/c google/protobuf/${name}.proto
      VERBATIM)
    list(APPEND sources ${generated})
  endforeach()
  set(${out_sources} ${sources} PARENT_SCOPE)
endfunction()
