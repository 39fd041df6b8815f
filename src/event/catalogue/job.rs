//! Jobs: an export that an account asked for has ended.

use super::field::{Field, concat, date, decimal, integer, text};
use super::system::SYSTEM;
use super::table::{Family, TypeEntry};

static FIELDS: [Field; JOB.len() + SYSTEM.len()] = concat(JOB, SYSTEM);

pub(super) static COMPLETED: TypeEntry = TypeEntry {
    name: "job.completed",
    family: Family::JobCompletion,
    summary: "A report export or a click export ended, well or badly.",
    default_sent: true,
    fields: &FIELDS,
    sample_key: "job-f81d4fae:completed",
    sample_occurred_at: "2024-09-11T04:02:10Z",
    sample_values: &[],
};

const JOB: &[Field] = &[
    text("JobId", "Id of the job.", "f81d4fae-7dec-11d0-a765-00a0c91e6bf6"),
    text("JobType", "Kind of job, such as `DownloadReport`, `ApiReport` or `ClickExport`.", "ClickExport"),
    integer("ProgramId", "Id of the program the job is about.", "1000"),
    text("CreatedBy", "Who started the job.", "pat@partner.example"),
    date("CreatedDate", "When the job was asked for.", "2024-09-10T21:00:00-07:00"),
    date("StartedDate", "When the job began.", "2024-09-10T21:00:05-07:00"),
    date("CompletedDate", "When the job ended.", "2024-09-10T21:02:10-07:00"),
    text("Status", "How the job ended: `COMPLETED`, `CANCELLED`, `ERROR` or `FAILED`.", "COMPLETED"),
    text("StatusMessage", "What the platform says about the end; may be empty.", "Done"),
    integer("RecordsProcessed", "How many records it handled.", "48210"),
    decimal("PercentageComplete", "How much of the job is done, from 0 to 100.", "100"),
    text(
        "ResultUri",
        "Where the result can be fetched, as a path on the platform's API.",
        "/Mediapartners/10000/Jobs/f81d4fae-7dec-11d0-a765-00a0c91e6bf6/Download",
    ),
];
