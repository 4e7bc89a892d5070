//! Templates → jobs: when a template is new work, and what it is compiled with.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use gopool_shards::work::coinbase::CoinbaseError;
use gopool_shards::work::job::{Job, JobInputs, JobStamp};
use gopool_shards::work::template::Template;

use crate::config::Config;
use crate::entropy::letters_and_digits;
use crate::snapshot::JobFigures;

/// Makes jobs and remembers the last one.
pub(super) struct WorkBuilder {
    inputs: JobInputs,
    entropy_characters: usize,
    /// A job of this age is built anew although nothing has changed: on a quiet network miners
    /// would run out of permitted times.
    age_max: Duration,
    next_id: u64,
    current: Option<Current>,
    /// What miners worked on before, while nobody has verified the transactions of what they work
    /// on now.
    fallback: Option<Template>,
}

struct Current {
    template: Template,
    job: Arc<Job>,
    built_at: SystemTime,
    built: Instant,
}

impl WorkBuilder {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            inputs: config.job_inputs.clone(),
            entropy_characters: config.job_entropy,
            age_max: age_max(config),
            next_id: 0,
            current: None,
            fallback: None,
        }
    }

    /// What jobs are made with from now on.
    pub(super) fn configure(&mut self, config: &Config) {
        self.inputs = config.job_inputs.clone();
        self.entropy_characters = config.job_entropy;
        self.age_max = age_max(config);
    }

    /// The last template, compiled anew.
    pub(super) fn again(&mut self) -> Result<Option<Arc<Job>>, CoinbaseError> {
        let template = self.current.as_ref().map(|current| current.template.clone());
        template.map(|template| self.build(template)).transpose()
    }

    pub(super) fn has_job(&self) -> bool {
        self.current.is_some()
    }

    /// What miners work on.
    pub(super) fn job(&self) -> Option<Arc<Job>> {
        self.current.as_ref().map(|current| Arc::clone(&current.job))
    }

    /// A job, when the template is not the work that miners have already.
    pub(super) fn update(
        &mut self,
        template: Template,
        is_verified: bool,
    ) -> Result<Option<Arc<Job>>, CoinbaseError> {
        if let Some(current) = &self.current
            && current.template.is_same_work_as(&template)
            && current.built.elapsed() < self.age_max
        {
            return Ok(None);
        }
        let before = self.current.as_ref().map(|current| current.template.clone());
        let job = self.build(template)?;
        self.fallback = before.filter(|_| !is_verified);
        Ok(Some(job))
    }

    /// The last template is what the node said. What it has replaced goes now and not with the next
    /// one: thousands of transactions take their time, and that one may be in a hurry.
    pub(super) fn verified(&mut self) {
        self.fallback = None;
    }

    /// The last template was not what the node said: a job like those before it.
    pub(super) fn withdraw(&mut self) -> Result<Option<Arc<Job>>, CoinbaseError> {
        self.fallback.take().map(|template| self.build(template)).transpose()
    }

    fn build(&mut self, template: Template) -> Result<Arc<Job>, CoinbaseError> {
        let built_at = SystemTime::now();
        let stamp = JobStamp {
            id: self.next_id,
            built_at: built_at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
            entropy: letters_and_digits(self.entropy_characters),
        };
        let job = Arc::new(Job::compile(&template, &self.inputs, &stamp)?);
        self.next_id += 1;
        self.current =
            Some(Current { template, job: Arc::clone(&job), built_at, built: Instant::now() });
        Ok(job)
    }

    pub(super) fn figures(&self) -> Option<JobFigures> {
        let Current { job, built_at, .. } = self.current.as_ref()?;
        Some(JobFigures {
            height: job.height,
            transactions: job.transactions.len(),
            coinbase_value_sats: job.coinbase.value,
            network_difficulty: job.target.difficulty(),
            built_at: *built_at,
        })
    }
}

/// Half of how far a share's time may run ahead of its job's.
fn age_max(config: &Config) -> Duration {
    config.settings.shares.ntime_forward_max / 2
}
